// SPDX-License-Identifier: BSD-3-Clause
#include "common/clock.h"
#include "common/ike_spi.h"
#include "common/limits.h"
#include "common/log.h"
#include "control/apply.h"
#include "control/config/config.h"
#include "control/events.h"
#include "control/kernel/kernel.h"
#include "control/loop.h"
#include "control/negotiate/negotiate.h"
#include "control/notify.h"
#include "control/policies/policies.h"
#include "control/reload.h"
#include "control/rpc/rpc.h"
#include "control/sad/sad.h"
#include "dataplane/publish.h"

#include <errno.h>
#include <getopt.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CONFIG_DEFAULT "/etc/tandem/tandem.conf"
#define FILES_WANTED 8192 // control clients and their like; most systems start with 1024
#define PUNT_BATCH 256

enum exit_code { EXIT_OK, EXIT_START, EXIT_CONFIG };

struct daemon {
	const char *program;
	const char *path; // of the configuration
	struct td_config *config;
	struct td_reload reload;
	bool debug;
	struct td_loop *loop;
	struct td_taps *taps;
	struct td_netlink *netlink;
	struct td_rpc *rpc;
	struct td_sad *sad;
	struct td_policies *policies;
	struct td_negotiate *negotiate;
	struct td_tracer *tracer;
	struct td_recorder *recorder;
	struct td_rpc_context rpc_context;
	struct td_events events;
	struct td_timer stop_timer;
	int signal_fd;
};

static void start_failed(const char *what, const struct td_error *error)
{
	td_log_error("%s: %s%s%s%s%s", what, error->object, error->object[0] != '\0' ? ": " : "",
	    error->field, error->field[0] != '\0' ? " " : "", error->reason);
}

// ---- process ----------------------------------------------------------------------------------

static bool has_net_admin(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &header, data) < 0)
		return geteuid() == 0;
	return (data[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN)) != 0;
}

// Keys live in this process: no core dump and no debugger of the same user may read them, and they should not
// get to a swap device. Pages are locked when they are first used, not before.
static int process_protect(void)
{
	const struct rlimit none = {0, 0};
	int error;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0) {
		error = errno;
		td_log_error("cannot turn core dumps off: %s", strerror(error));
		return -error;
	}
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		td_log_warning("cannot lock memory, keys may be swapped out: %s; raise LimitMEMLOCK or give "
		               "CAP_IPC_LOCK",
		    strerror(errno));
	return 0;
}

static void files_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= FILES_WANTED)
		return;
	limit.rlim_cur = FILES_WANTED;
	if (limit.rlim_max < FILES_WANTED)
		limit.rlim_max = FILES_WANTED;
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
		td_log_warning("only %llu open files are allowed; raise LimitNOFILE for many control clients",
		    (unsigned long long)limit.rlim_cur);
	}
}

// Before any thread starts, so that all inherit the mask and signals arrive at the descriptor only.
static int signals_open(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static void stop_due(void *context)
{
	struct daemon *daemon = context;

	td_loop_stop(daemon->loop);
}

// Peers are told that their tunnels end; the loop and the workers carry that for a moment more.
static void stop_begin(struct daemon *daemon)
{
	if (daemon->stop_timer.armed)
		return;
	daemon->stop_timer = (struct td_timer){.fn = stop_due, .context = daemon};
	td_reload_stop(&daemon->reload);
	if (daemon->negotiate == NULL || !td_negotiate_stop(daemon->negotiate))
		td_loop_stop(daemon->loop);
	else
		td_loop_timer_set(
		    daemon->loop, &daemon->stop_timer, td_clock_now_ns() + TD_STOP_MS * TD_NS_PER_MS);
}

static void reload_run(struct daemon *daemon)
{
	(void)td_notify_send("RELOADING=1");
	td_reload_signal(&daemon->reload);
}

static void reload_done(void *context)
{
	(void)context;
	(void)td_notify_send("READY=1");
}

static void signal_event(void *context, uint32_t events)
{
	struct daemon *daemon = context;
	struct signalfd_siginfo info;

	(void)events;
	while (read(daemon->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP) {
			if (daemon->negotiate != NULL && !daemon->stop_timer.armed)
				reload_run(daemon);
			continue;
		}
		td_log_info("stopping on %s", strsignal((int)info.ssi_signo));
		stop_begin(daemon);
	}
}

// ---- running ----------------------------------------------------------------------------------

static bool tick(void *context)
{
	struct daemon *daemon = context;
	unsigned count, punted;
	bool traced, captured;

	count = td_events_take(&daemon->events);
	td_taps_resume(daemon->taps);
	punted = td_dp_punt_receive(PUNT_BATCH, td_taps_punt, daemon->taps);
	traced = td_tracer_tick(daemon->tracer);
	captured = td_recorder_tick(daemon->recorder);
	td_dp_reclaim();
	return count > 0 || punted > 0 || traced || captured;
}

// Subscribers hear first: what the negotiation makes of an event comes behind it.
static void sad_event(void *context, const char *kind, const struct td_sa *sa, const struct td_tunnel *tunnel,
    const struct td_event *event)
{
	struct daemon *daemon = context;

	td_rpc_event(daemon->rpc, kind, sa, tunnel, event);
	if (daemon->negotiate != NULL)
		td_negotiate_sad_event(daemon->negotiate, kind, sa, tunnel, event);
}

static enum exit_code serve(struct daemon *daemon)
{
	int ret;

	td_negotiate_start(daemon->negotiate);
	td_loop_tick_set(daemon->loop, TD_TICK_NS, tick, daemon);
	ret = td_notify_send("READY=1");
	if (ret < 0)
		td_log_warning("cannot tell the service manager: %s", strerror(-ret));
	td_log_info("ready: %u ports, %u workers, %u tunnels, control socket %s", td_dp_port_count(),
	    td_dp_worker_count(), daemon->config->tunnel_count, daemon->config->socket_path);
	ret = td_loop_run(daemon->loop);
	(void)td_notify_send("STOPPING=1");
	if (ret < 0) {
		td_log_error("the event loop failed: %s", strerror(-ret));
		return EXIT_START;
	}
	return EXIT_OK;
}

// Everything of the control thread, on top of a data plane that runs.
static enum exit_code control_run(struct daemon *daemon)
{
	enum exit_code code = EXIT_START;
	struct td_error error = {0};

	daemon->tracer = td_tracer_create();
	daemon->recorder = td_recorder_create(daemon->config);
	if (daemon->tracer == NULL || daemon->recorder == NULL) {
		td_log_error("out of memory");
		goto destroy_watch;
	}
	daemon->taps = td_taps_create(daemon->loop, daemon->config, &error);
	if (daemon->taps == NULL) {
		start_failed("cannot make the kernel interfaces", &error);
		goto destroy_watch;
	}
	daemon->netlink = td_netlink_create(daemon->loop, daemon->config, daemon->taps, &error);
	if (daemon->netlink == NULL) {
		start_failed("cannot follow the kernel's routes", &error);
		goto destroy_taps;
	}
	// The socket comes first because the SAD sends its events there; nothing is answered before the loop
	// runs.
	daemon->rpc_context = (struct td_rpc_context){
	    .loop = daemon->loop,
	    .config = daemon->config,
	    .tracer = daemon->tracer,
	    .recorder = daemon->recorder,
	    .reload = &daemon->reload,
	};
	daemon->rpc = td_rpc_create(&daemon->rpc_context, &error);
	if (daemon->rpc == NULL) {
		start_failed("cannot open the control socket", &error);
		goto destroy_netlink;
	}
	daemon->sad = td_sad_create(daemon->loop, daemon->config, sad_event, daemon, &error);
	if (daemon->sad == NULL) {
		start_failed("cannot make the tunnels", &error);
		goto destroy_rpc;
	}
	daemon->rpc_context.sad = daemon->sad;
	daemon->events =
	    (struct td_events){.sad = daemon->sad, .netlink = daemon->netlink, .rpc = daemon->rpc};
	daemon->policies = td_policies_create(daemon->loop, daemon->config, daemon->sad, &error);
	if (daemon->policies == NULL) {
		start_failed("cannot apply the policies", &error);
		goto destroy_sad;
	}
	daemon->rpc_context.policies = daemon->policies;
	daemon->negotiate = td_negotiate_create(
	    daemon->loop, daemon->config, daemon->sad, td_rpc_negotiate_event, daemon->rpc, &error);
	daemon->rpc_context.negotiate = daemon->negotiate;
	daemon->reload = (struct td_reload){
	    .loop = daemon->loop,
	    .signal_done = reload_done,
	    .path = daemon->path,
	    .config = daemon->config,
	    .sad = daemon->sad,
	    .policies = daemon->policies,
	    .negotiate = daemon->negotiate,
	    .netlink = daemon->netlink,
	    .log_level_fixed = daemon->debug,
	};
	if (daemon->negotiate == NULL)
		start_failed("cannot negotiate keys", &error);
	else
		code = serve(daemon);
	td_reload_stop(&daemon->reload);
	td_negotiate_destroy(daemon->negotiate);
	daemon->negotiate = NULL;
	// The workers still run: no packet may meet a policy whose tunnel is gone.
	td_policies_destroy(daemon->policies);
destroy_sad:
	td_sad_destroy(daemon->sad);
destroy_rpc:
	td_rpc_destroy(daemon->rpc);
destroy_netlink:
	td_netlink_destroy(daemon->netlink);
destroy_taps:
	td_taps_destroy(daemon->taps);
destroy_watch:
	td_recorder_destroy(daemon->recorder);
	td_tracer_destroy(daemon->tracer);
	return code;
}

static int dataplane_start(const struct daemon *daemon)
{
	struct td_dp_config *dp = calloc(1, sizeof(*dp));
	struct td_error error = {0};
	int ret;

	if (dp == NULL) {
		td_log_error("out of memory");
		return -ENOMEM;
	}
	td_apply_dp_config(daemon->config, daemon->program, dp);
	ret = td_dp_start(dp, &error);
	if (ret < 0)
		start_failed("cannot start the data plane", &error);
	free(dp);
	return ret;
}

static enum exit_code daemon_run(struct daemon *daemon)
{
	enum exit_code code = EXIT_START;
	int ret;

	if (!has_net_admin()) {
		td_log_error("tandemd needs CAP_NET_ADMIN: run it as root, or as the service tandemd");
		return code;
	}
	if (process_protect() < 0)
		return code;
	files_raise();
	daemon->signal_fd = signals_open();
	if (daemon->signal_fd < 0) {
		td_log_error("cannot receive signals: %s", strerror(-daemon->signal_fd));
		return code;
	}
	ret = td_ike_spi_init();
	if (ret < 0) {
		td_log_error("no random numbers: %s", strerror(-ret));
		goto close_signals;
	}
	if (dataplane_start(daemon) < 0)
		goto close_signals;
	daemon->loop = td_loop_create();
	if (daemon->loop == NULL) {
		td_log_error("cannot make the event loop: %s", strerror(errno));
		goto stop_dataplane;
	}
	ret = td_loop_fd_add(daemon->loop, daemon->signal_fd, EPOLLIN, signal_event, daemon);
	if (ret < 0)
		td_log_error("cannot watch for signals: %s", strerror(-ret));
	else
		code = control_run(daemon);
	td_loop_destroy(daemon->loop);
stop_dataplane:
	td_dp_stop();
close_signals:
	close(daemon->signal_fd);
	if (code == EXIT_OK)
		td_log_info("stopped");
	return code;
}

// ---- command line -----------------------------------------------------------------------------

static void usage(FILE *out)
{
	fputs("Usage: tandemd [-c FILE] [--debug]\n"
	      "IPsec ESP gateway. Runs in the foreground; stop it with SIGTERM.\n"
	      "\n"
	      "  -c, --config FILE  configuration (default " CONFIG_DEFAULT ")\n"
	      "      --check [FILE] check a configuration and exit: 0 if it is good, 2 if not\n"
	      "      --help-config  list every configuration key and exit\n"
	      "      --debug        log everything\n"
	      "      --version      print the version and exit\n"
	      "  -h, --help         print this and exit\n",
	    out);
}

static enum exit_code config_check(const char *path)
{
	struct td_config *config = td_config_load(path, stderr);

	if (config == NULL)
		return EXIT_CONFIG;
	printf("%s: ok\n", path);
	td_config_free(config);
	return EXIT_OK;
}

static enum exit_code config_run(const char *program, const char *path, bool debug)
{
	struct daemon daemon = {.program = program, .path = path, .debug = debug, .signal_fd = -1};
	enum exit_code code;

	daemon.config = td_config_load(path, stderr);
	if (daemon.config == NULL)
		return EXIT_CONFIG;
	td_log_set_level(debug ? TD_LOG_DEBUG : daemon.config->log_level);
	code = daemon_run(&daemon);
	td_config_free(daemon.config);
	return code;
}

struct arguments {
	const char *path;
	bool check, debug, done; // done: nothing is left to do
};

static int arguments_parse(int argc, char **argv, struct arguments *arguments)
{
	enum { OPTION_CHECK = 256, OPTION_HELP_CONFIG, OPTION_DEBUG, OPTION_VERSION };
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"check", optional_argument, NULL, OPTION_CHECK},
	    {"help-config", no_argument, NULL, OPTION_HELP_CONFIG},
	    {"debug", no_argument, NULL, OPTION_DEBUG},
	    {"version", no_argument, NULL, OPTION_VERSION},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			arguments->path = optarg;
			break;
		case OPTION_CHECK:
			arguments->check = true;
			if (optarg != NULL)
				arguments->path = optarg;
			break;
		case OPTION_HELP_CONFIG:
			td_config_describe(stdout);
			arguments->done = true;
			return 0;
		case OPTION_DEBUG:
			arguments->debug = true;
			break;
		case OPTION_VERSION:
			puts("tandemd " TD_VERSION);
			arguments->done = true;
			return 0;
		case 'h':
			usage(stdout);
			arguments->done = true;
			return 0;
		default:
			return -EINVAL;
		}
	}
	// "--check FILE" and "--check -c FILE" are both natural.
	if (arguments->check && optind < argc)
		arguments->path = argv[optind++];
	if (optind == argc)
		return 0;
	fprintf(stderr, "tandemd: unexpected argument \"%s\"\n", argv[optind]);
	return -EINVAL;
}

int main(int argc, char **argv)
{
	struct arguments arguments = {.path = CONFIG_DEFAULT};

	if (arguments_parse(argc, argv, &arguments) < 0) {
		usage(stderr);
		return EXIT_CONFIG;
	}
	if (arguments.done)
		return EXIT_OK;
	if (arguments.check)
		return config_check(arguments.path);
	return config_run(argv[0], arguments.path, arguments.debug);
}
