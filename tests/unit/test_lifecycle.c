// SPDX-License-Identifier: BSD-3-Clause
#include "common/clock.h"
#include "control/lifecycle/internal.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(lifecycle, .timeout = 120);

// ---- a data plane and a negotiator that write down what they are asked for --------------------------

#define CHILDREN 512
#define SLOTS 3

// By inbound SPI, which names a child in scripts.
struct fake_child {
	struct td_life_child *child; // NULL: not known to the negotiator
	bool installed, removed;
	bool deleted; // at the negotiator
};

static struct td_timers timers;
static struct td_lifecycle *life;
static struct td_life_tunnel *tunnel;
static struct fake_child fakes[CHILDREN];
static uint32_t sent_on[SLOTS]; // what the data plane sends on; 0: none
static bool install_fails, random_real;
static char calls[8192], events[65536];

static void note(char *text, size_t size, const char *format, ...)
{
	size_t length = strlen(text);
	va_list arguments;

	va_start(arguments, format);
	if (length > 0 && length + 1 < size)
		text[length++] = ' ';
	(void)vsnprintf(text + length, size - length, format, arguments);
	va_end(arguments);
}

#define CALL(...) note(calls, sizeof(calls), __VA_ARGS__)

static void fake_random(void *context, void *bytes, size_t length)
{
	unsigned char *at = bytes;

	(void)context;
	while (length-- > 0)
		*at++ = random_real ? (unsigned char)rand() : 0;
}

static uint32_t fake_reserve(void *context, const struct td_life_tunnel *of, unsigned slot)
{
	(void)context, (void)of;
	return 0x1000 + slot;
}

static void fake_release(void *context, uint32_t spi)
{
	(void)context;
	CALL("release%x", spi);
}

static int fake_install(
    void *context, struct td_life_child *child, const struct td_life_offer *offer, struct td_error *error)
{
	(void)context;
	cr_assert_eq(child->spi_in, offer->spi_in);
	cr_assert_eq(child->state, TD_CHILD_PENDING);
	if (install_fails)
		return td_error_set(error, -1, "child", NULL, "fails on purpose");
	cr_assert_not(fakes[child->spi_in].installed);
	fakes[child->spi_in].installed = true;
	child->dataplane = &fakes[child->spi_in];
	CALL("install%u", child->spi_in);
	return 0;
}

static void in_place(const struct td_life_child *child)
{
	cr_assert(fakes[child->spi_in].installed);
	cr_assert_not(fakes[child->spi_in].removed, "child %u was removed", child->spi_in);
}

static void fake_switch(void *context, struct td_life_child *child)
{
	(void)context;
	in_place(child);
	// Rule 2.
	cr_assert_eq(child->state, TD_CHILD_ACTIVE);
	cr_assert_neq(child->proof, TD_PROOF_NONE);
	sent_on[child->slot] = child->spi_in;
	CALL("switch%u", child->spi_in);
}

static void fake_stop(void *context, struct td_life_child *child)
{
	(void)context;
	in_place(child);
	cr_assert_eq(sent_on[child->slot], child->spi_in);
	sent_on[child->slot] = 0;
	CALL("stop%u", child->spi_in);
}

static void fake_prove(void *context, struct td_life_child *child)
{
	(void)context;
	in_place(child);
	CALL("prove%u", child->spi_in);
}

static void fake_drain(void *context, struct td_life_child *child)
{
	(void)context;
	in_place(child);
	CALL("drain%u", child->spi_in);
}

static void fake_remove(void *context, struct td_life_child *child)
{
	(void)context;
	in_place(child);
	cr_assert_neq(sent_on[child->slot], child->spi_in);
	fakes[child->spi_in].removed = true;
	CALL("remove%u", child->spi_in);
}

static void fake_create(void *context, struct td_life_tunnel *of, unsigned slot)
{
	(void)context;
	cr_assert_eq(of, tunnel);
	CALL("create@%u", slot);
}

static uint64_t rekey_deadline_ns;

static void fake_rekey(void *context, struct td_life_child *child, uint64_t deadline_ns)
{
	(void)context;
	cr_assert_not_null(child->negotiator);
	rekey_deadline_ns = deadline_ns;
	CALL("rekey%u", child->spi_in);
}

static void fake_erase(void *context, struct td_life_child *child)
{
	(void)context;
	cr_assert_not_null(child->negotiator);
	CALL("erase%u", child->spi_in);
}

static void fake_active(void *context, struct td_life_child *child)
{
	(void)context;
	cr_assert_eq(child->state, TD_CHILD_ACTIVE);
	cr_assert_neq(child->proof, TD_PROOF_ANSWER);
}

static void fake_down(void *context, struct td_life_tunnel *of)
{
	(void)context, (void)of;
	CALL("down");
}

static void fake_event(void *context, const char *kind, const struct td_life_tunnel *of,
    const struct td_life_child *child, const char *reason)
{
	(void)context, (void)of, (void)child, (void)reason;
	note(events, sizeof(events), "%s", kind);
}

static void open_with(enum td_life_start start, unsigned slots, uint64_t hard_s)
{
	struct td_life_env env = {
	    .timers = &timers,
	    .random = fake_random,
	    .dataplane = {NULL, fake_reserve, fake_release, fake_install, fake_switch, fake_stop, fake_prove,
	        fake_drain, fake_remove},
	    .event = fake_event,
	};
	struct td_life_negotiator negotiator = {
	    NULL, fake_create, fake_rekey, fake_erase, fake_active, fake_down};
	struct td_life_config config = {
	    .name = "t",
	    .start = start,
	    .slots = slots,
	    .soft_ns = 10 * TD_NS_PER_S,
	    .hard_ns = hard_s * TD_NS_PER_S,
	    .drain_ns = TD_NS_PER_S,
	    .quiet_ns = 2 * TD_NS_PER_S,
	    .retry_ns = TD_NS_PER_S / 2,
	};

	memset(&timers, 0, sizeof(timers));
	memset(fakes, 0, sizeof(fakes));
	memset(sent_on, 0, sizeof(sent_on));
	install_fails = false;
	calls[0] = events[0] = '\0';
	timers.now_ns = 1000 * TD_NS_PER_S;
	life = td_lifecycle_create(&env);
	tunnel = td_life_tunnel_add(life, &config, &negotiator, &timers);
	cr_assert_eq(td_life_tunnel_user(tunnel), &timers);
}

// Nothing is left: neither a timer nor an SA.
static void close_all(void)
{
	unsigned i;

	td_lifecycle_destroy(life);
	cr_assert_null(timers.first, "a timer is armed");
	for (i = 0; i < CHILDREN; i++)
		cr_assert_eq(fakes[i].installed, fakes[i].removed, "child %u leaked", i);
}

static void wait_ms(uint64_t ms)
{
	uint64_t end_ns = timers.now_ns + ms * TD_NS_PER_MS;

	while (td_timers_next_ns(&timers) <= end_ns) {
		uint64_t next_ns = td_timers_next_ns(&timers);

		td_timers_run(&timers, next_ns > timers.now_ns ? next_ns : timers.now_ns);
	}
	td_timers_run(&timers, end_ns);
}

static struct td_life_child *install(uint32_t spi, bool initiator, uint32_t predecessor, unsigned slot)
{
	struct td_error error = {0};
	struct td_life_offer offer = {
	    .tunnel = tunnel,
	    .slot = slot,
	    .initiator = initiator,
	    .spi_in = spi,
	    .spi_out = spi + 0x10000,
	    .predecessor = predecessor != 0 ? fakes[predecessor].child : NULL,
	    .negotiator = &fakes[spi],
	};
	struct td_life_child *child = td_life_child_install(&offer, &error);

	if (child == NULL)
		CALL("refused");
	fakes[spi].child = child;
	return child;
}

static void deleted(uint32_t spi, bool by_peer)
{
	struct td_life_child *child = fakes[spi].child;

	fakes[spi].child = NULL;
	fakes[spi].deleted = true;
	td_life_child_deleted(child, by_peer);
}

// ---- scripts ----------------------------------------------------------------------------------

static enum td_life_failure failure_of(char letter)
{
	return letter == 'p' ? TD_FAIL_PERMANENT : letter == 'u' ? TD_FAIL_UNSUPPORTED : TD_FAIL_TEMPORARY;
}

// A step on a child: its word, a colon and the child's number.
static bool step_child(const char *word, struct td_life_child *child)
{
	static const struct {
		const char *word;
		void (*fn)(struct td_life_child *child);
	} steps[] = {
	    {"answered", td_life_child_answered},
	    {"again", td_life_child_asked_again},
	    {"retire", td_life_child_retire},
	    {"use", td_life_first_use},
	    {"soft", td_life_soft_limit},
	    {"hard", td_life_hard_limit},
	};
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (strcmp(word, steps[i].word) != 0)
			continue;
		cr_assert_not_null(child, "%s: no such child", word);
		steps[i].fn(child);
		return true;
	}
	return false;
}

// i:N, r:N     installs child N as initiator, responder; N/P: successor of P; N@S: in slot S
// ours:N, peers:N   N is deleted, by an answer to our DELETE or by the peer's
// fail:L@S     a create failed; rfail:L/N: a rekey of N; L: t, p or u
// wait:MS, acquire, start, up, down, rekey, nomem (installs fail from now on)
static void step(char *word)
{
	char *colon = strchr(word, ':'), *argument = colon != NULL ? colon + 1 : word + strlen(word);
	const char *slash = strchr(argument, '/'), *at = strchr(argument, '@');
	unsigned long number = strtoul(argument, NULL, 10);
	uint32_t other = slash != NULL ? (uint32_t)strtoul(slash + 1, NULL, 10) : 0;
	unsigned slot = at != NULL ? (unsigned)strtoul(at + 1, NULL, 10) : 0;

	if (colon != NULL)
		*colon = '\0';
	if (strcmp(word, "i") == 0 || strcmp(word, "r") == 0)
		(void)install((uint32_t)number, *word == 'i', other, slot);
	else if (strcmp(word, "ours") == 0 || strcmp(word, "peers") == 0)
		deleted((uint32_t)number, *word == 'p');
	else if (strcmp(word, "wait") == 0)
		wait_ms(number);
	else if (strcmp(word, "fail") == 0)
		td_life_create_failed(tunnel, slot, failure_of(*argument), "on purpose");
	else if (strcmp(word, "rfail") == 0)
		td_life_rekey_failed(fakes[other].child, failure_of(*argument), "on purpose");
	else if (strcmp(word, "acquire") == 0)
		td_life_acquire(tunnel);
	else if (strcmp(word, "start") == 0)
		td_life_tunnel_start(tunnel);
	else if (strcmp(word, "up") == 0)
		td_life_tunnel_up(tunnel);
	else if (strcmp(word, "down") == 0)
		td_life_tunnel_down(tunnel);
	else if (strcmp(word, "rekey") == 0)
		CALL("=%u", td_life_tunnel_rekey(tunnel));
	else if (strcmp(word, "nomem") == 0)
		install_fails = true;
	else
		cr_assert(
		    step_child(word, number < CHILDREN ? fakes[number].child : NULL), "what is %s?", word);
}

// What is called for by a script's step follows it behind "->"; nothing else may be.
static void script_run(const char *name, const char *script)
{
	char *text = strdup(script), *save = NULL, *word, got[sizeof(calls)] = "";
	bool expecting = false;

	for (word = strtok_r(text, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
		if (strcmp(word, "->") == 0) {
			expecting = true;
			continue;
		}
		if (strcmp(word, ";") == 0) {
			cr_expect_str_eq(calls, got, "%s: got '%s', expected '%s'", name, calls, got);
			calls[0] = got[0] = '\0';
			expecting = false;
		} else if (expecting) {
			note(got, sizeof(got), "%s", word);
		} else {
			step(word);
		}
	}
	cr_expect_str_eq(calls, got, "%s: at the end got '%s', expected '%s'", name, calls, got);
	calls[0] = '\0';
	free(text);
}

struct script {
	const char *name, *script;
};

static void scripts_run(const struct script *scripts, size_t count, enum td_life_start start, unsigned slots)
{
	size_t i;

	for (i = 0; i < count; i++) {
		open_with(start, slots, 20);
		script_run(scripts[i].name, scripts[i].script);
		close_all();
	}
}

#define SCRIPTS_RUN(scripts, start, slots)                                                                   \
	scripts_run(scripts, sizeof(scripts) / sizeof((scripts)[0]), start, slots)

// Child 1 is in place, made by this side.
#define UP1 "start i:1 answered:1 -> install1 switch1 prove1 ; "
// The same where start connects.
#define UP1B "start i:1 answered:1 -> create@0 install1 switch1 prove1 ; "
// Made by the peer.
#define PEERS1 "start r:1 use:1 -> install1 switch1 ; "

// Both ends of one rollover, and each proof that the peer has the successor.
static const struct script rules[] = {
    {"rule 1: nothing is sent before the answer",
        "start i:1 -> install1 ; wait:5000 ; answered:1 -> switch1 prove1"},
    {"rule 1: a failed install changes nothing", UP1 "nomem i:2/1 -> refused ; soft:1 -> rekey1"},
    {"rule 2: the initiator switches on the answer", UP1 "i:2/1 -> install2 ; answered:2 -> switch2 prove2"},
    {"rule 2: the responder waits for traffic", UP1 "r:2/1 -> install2 ; wait:1900 ; use:2 -> switch2"},
    {"rule 2: or for the DELETE", UP1 "r:2/1 -> install2 ; wait:1900 ; peers:1 -> switch2 drain1"},
    {"rule 2: or for quiet_ns", UP1 "r:2/1 -> install2 ; wait:1999 ; wait:1 -> switch2"},
    {"rule 2: silence proves no child of another line, beside one that works",
        UP1 "r:2 -> install2 ; wait:2500 ; peers:1 -> switch2 drain1"},
    {"rule 2: traffic does", UP1 "r:2 -> install2 ; wait:1900 ; use:2 -> switch2"},
    {"rule 2: a repeated request starts quiet_ns again",
        UP1 "r:2/1 -> install2 ; wait:1900 again:2 wait:1999 ; wait:1 -> switch2"},
    {"rule 2: a DELETE of ours proves nothing",
        UP1 "r:2/1 -> install2 ; ours:1 -> stop1 drain1 ; wait:99 ; wait:1 -> switch2"},
    {"rule 2: a first child waits less, nothing can be sent",
        "start r:1 -> install1 ; wait:99 ; wait:1 -> switch1"},
    {"rule 2: an initiator's child has no such time", "start i:1 -> install1 ; again:1 wait:9000"},
    {"rule 3: the old one drains for drain_ns behind the DELETE",
        UP1 "r:2/1 use:2 -> install2 switch2 ; wait:5000 ; peers:1 -> drain1 ; wait:999 ; wait:1 -> remove1"},
    {"rule 3: and behind the answer to ours",
        UP1 "i:2/1 answered:2 retire:1 -> install2 switch2 prove2 ; wait:500 ours:1 -> drain1 ; wait:999 ; "
            "wait:1 -> remove1"},
    {"rule 3: or goes when the peer's hard limit is over for sure, though no DELETE comes",
        UP1 "wait:9500 r:2/1 use:2 -> install2 switch2 ; retire:1 wait:10499 ; wait:1 -> erase1 ; "
            "wait:2999 -> rekey2 ; wait:1 -> remove1"},
    {"rule 4: the initiator's soft time", UP1 "wait:9999 ; wait:1 -> rekey1"},
    {"rule 4: the responder's is later", PEERS1 "wait:10999 ; wait:1 -> rekey1"},
    {"rule 4: soft limits of bytes and packets", UP1 "soft:1 -> rekey1 ; soft:1 wait:15000"},
    {"rule 4: no rekey of what is replaced", UP1 "r:2/1 -> install2 ; soft:1 wait:1900"},
    {"rule 4: a soft limit of a pending child waits for its proof",
        UP1 "r:2/1 -> install2 ; soft:2 ; use:2 -> switch2 ; wait:0 -> rekey2"},
    {"rule 4: the hard limit stops", UP1 "wait:19999 -> rekey1 ; wait:1 -> stop1 erase1"},
    {"rule 4: of bytes too", UP1 "hard:1 -> stop1 erase1 ; hard:1 -> erase1"},
    {"rule 4: unless a pending successor is there",
        UP1 "wait:19000 -> rekey1 ; r:2/1 -> install2 ; wait:1000 -> switch2 erase1"},
    {"rule 4: or an active one", UP1 "r:2/1 use:2 -> install2 switch2 ; hard:2 -> switch1 erase2"},
};

Test(lifecycle, rules)
{
	SCRIPTS_RUN(rules, TD_START_RESPOND, 1);
}

static const struct script rollovers[] = {
    {"late and repeated words do nothing",
        UP1 "answered:1 use:1 use:1 again:1 ; i:2/1 answered:2 retire:1 -> install2 switch2 prove2 ; use:1 "
            "answered:1 again:1 retire:1 soft:1 ; ours:1 -> drain1"},
    {"traffic before the answer (S2)", "start i:1 use:1 -> install1 switch1 ; answered:1"},
    {"both rekey, the own answer last, the own one wins", UP1
        "r:2/1 i:3/1 answered:3 -> install2 install3 switch3 prove3 ; use:2 ; retire:1 ours:1 -> drain1 ; "
        "peers:2 -> drain2"},
    {"both rekey, the own answer last, the peer's wins", UP1
        "r:2/1 i:3/1 answered:3 -> install2 install3 switch3 prove3 ; use:2 retire:3 -> switch2 ; ours:3 -> "
        "drain3 ; peers:1 -> drain1"},
    {"both rekey, the peer's wins before it is proved: back to the old one",
        UP1 "r:2/1 i:3/1 answered:3 -> install2 install3 switch3 prove3 ; retire:3 -> switch1 ; ours:3 -> "
            "drain3 ; "
            "peers:1 -> switch2 drain1"},
    {"both rekey, the own answer first",
        UP1 "i:2/1 answered:2 -> install2 switch2 prove2 ; r:3/1 -> install3 ; use:3 -> switch3 ; use:2 ; "
            "retire:2 ours:2 peers:1 -> drain2 drain1"},
    {"the old one is retired while its successor is pending", UP1 "r:2/1 -> install2 ; retire:1 -> switch2"},
    {"a rival that is no successor is not sent on without proof, but soon",
        "start i:1 answered:1 r:2 -> install1 switch1 prove1 install2 ; retire:1 -> stop1 ; wait:99 ; wait:1 "
        "-> "
        "switch2"},
    {"the loser's end starts the rekey anew", UP1 "soft:1 -> rekey1 ; i:2/1 answered:2 -> install2 switch2 "
                                                  "prove2 ; peers:2 -> switch1 drain2 ; wait:500 "
                                                  "-> rekey1"},
    {"a chain whose middle went",
        UP1 "r:2/1 r:3/2 -> install2 install3 ; peers:2 -> switch3 drain2 ; peers:1 -> drain1 ; "
            "wait:1000 -> remove2 remove1"},
    {"what the initiator forgets to delete goes",
        UP1 "r:2/1 use:2 -> install2 switch2 ; wait:5999 ; wait:1 -> erase1"},
    {"a second try of a peer that never got the first",
        UP1 "r:2/1 r:3/1 use:3 -> install2 install3 switch3 ; peers:1 -> drain1 ; wait:5999 -> remove1 ; "
            "wait:1 -> "
            "erase2"},
    {"a peer that began anew", PEERS1 "r:2 use:2 -> install2 switch2 ; wait:6000 -> erase1"},
    {"an active child that only the timer vouches for makes nothing surplus", UP1
        "r:2/1 wait:2000 -> install2 switch2 ; wait:7000 ; use:2 ; wait:5999 -> rekey2 ; wait:1 -> erase1"},
    {"after a DELETE without answer the keys go, and the late answer is harmless",
        UP1 "hard:1 -> stop1 erase1 ; wait:2999 ; wait:1 -> remove1 ; retire:1 hard:1 soft:1 use:1 ours:1"},
    {"a late answer does not put the end off",
        UP1 "hard:1 -> stop1 erase1 ; wait:2500 ours:1 -> drain1 ; wait:499 ; wait:1 -> remove1"},
    {"a DELETE proves the successor, not any child",
        UP1 "r:2 -> install2 ; peers:1 -> stop1 drain1 ; wait:99 ; wait:1 -> switch2"},
    {"both ends make a first child: the one with the lower SPIs goes",
        "start i:1 r:2 answered:1 use:2 -> install1 install2 switch1 prove1 switch2 ; wait:5999 ; "
        "wait:1 -> erase1 ; ours:1 -> drain1"},
    {"down stops at once, not one after the other",
        UP1 "r:2/1 use:2 -> install2 switch2 ; down -> stop2 down"},
    {"the answer comes in time", UP1 "hard:1 -> stop1 erase1 ; ours:1 -> drain1 ; wait:1000 -> remove1"},
    {"a rekey that fails is tried again in time", UP1 "wait:10000 -> rekey1 ; rfail:t/1 wait:499 ; wait:1 -> "
                                                      "rekey1 ; rfail:t/1 wait:999 ; wait:1 -> rekey1 ; "
                                                      "rfail:p/1 wait:2833 ; wait:1 -> rekey1"},
    {"the operator's rekey", UP1 "rekey -> rekey1 =1 ; rekey -> =0"},
    {"down and up", UP1 "r:2/1 -> install2 ; down -> stop1 down ; use:2 use:1 soft:1 acquire ; r:3 -> "
                        "refused ; ours:1 peers:2 -> "
                        "drain1 drain2 ; wait:9000 -> remove1 remove2 ; up -> create@0"},
    {"down while the peer is silent", UP1 "down -> stop1 down ; wait:2999 ; wait:1 -> remove1 ; ours:1"},
};

Test(lifecycle, rollovers)
{
	SCRIPTS_RUN(rollovers, TD_START_RESPOND, 1);
}

// ---- first children ---------------------------------------------------------------------------

static const struct script boots[] = {
    {"connects at once", "wait:1000 acquire ; start -> create@0 ; start acquire wait:100"},
    {"failures: twice the time each",
        "start -> create@0 ; fail:t wait:499 acquire ; wait:1 -> create@0 ; fail:t wait:999 ; "
        "wait:1 -> create@0 ; fail:t wait:1999 ; wait:1 -> create@0"},
    {"a permanent one waits longer", "start -> create@0 ; fail:p wait:1999 ; wait:1 -> create@0"},
    {"at most 64 times", "start -> create@0 ; fail:p fail:p fail:p fail:t wait:31999 ; wait:1 -> create@0"},
    {"the operator does not wait", "start -> create@0 ; fail:p ; up -> create@0"},
    {"again at once after a hard limit", UP1B "hard:1 -> stop1 erase1 ; wait:0 -> create@0"},
    {"again at once after a DELETE", UP1B "wait:5000 peers:1 -> stop1 drain1 ; wait:0 -> create@0"},
    {"not at once for a peer that deletes at once",
        UP1B "peers:1 -> stop1 drain1 ; wait:499 ; wait:1 -> create@0 ; i:2 answered:2 peers:2 -> install2 "
             "switch2 prove2 "
             "stop2 drain2 ; wait:999 -> remove1 ; wait:1 -> remove2 create@0"},
    {"not while another one lives", UP1B "r:2/1 -> install2 ; peers:1 wait:1 -> switch2 drain1"},
    {"the peer's child will do", "start -> create@0 ; r:1 use:1 -> install1 switch1 ; fail:t wait:9000"},
    {"a failure beside the peer's child does not count",
        "start r:1 use:1 fail:p peers:1 -> create@0 install1 switch1 stop1 drain1 ; wait:499 ; wait:1 -> "
        "create@0"},
    {"at once, though it failed before the peer's child that was lost",
        "start fail:p r:1 use:1 -> create@0 install1 switch1 ; wait:1000 peers:1 -> stop1 drain1 ; wait:0 -> "
        "create@0"},
    {"down ends what is under way", "start down up -> create@0 down create@0"},
    {"never again after down", "start -> create@0 ; down -> down ; fail:t wait:90000 ; up -> create@0"},
    {"a negotiator that forgot is asked again", "start -> create@0 ; wait:39999 ; wait:1 -> create@0"},
};

Test(lifecycle, start_boot)
{
	SCRIPTS_RUN(boots, TD_START_BOOT, 1);
}

static const struct script traps[] = {
    {"on the first packet", "start wait:1000 ; acquire -> create@0 ; acquire acquire"},
    {"not without start", "acquire"},
    {"again after a failure, when a packet comes and the time has passed",
        "start acquire -> create@0 ; fail:t acquire wait:499 acquire ; wait:1 acquire -> create@0"},
    {"the operator's up is kept up", "start up -> create@0 ; fail:t wait:500 -> create@0"},
    {"after a hard limit on the next packet", "start acquire i:1 answered:1 hard:1 -> create@0 install1 "
                                              "switch1 prove1 stop1 erase1 ; wait:1000 ; acquire -> "
                                              "create@0"},
    {"a late packet of a tunnel that is up", UP1 "acquire"},
};

Test(lifecycle, start_trap)
{
	SCRIPTS_RUN(traps, TD_START_TRAP, 1);
}

static const struct script responds[] = {
    {"never by itself", "start acquire wait:9000"},
    {"but when the operator says so", "start up -> create@0 ; fail:t wait:500 -> create@0"},
    {"not again", PEERS1 "peers:1 wait:9000 -> stop1 drain1 remove1"},
};

Test(lifecycle, start_respond)
{
	SCRIPTS_RUN(responds, TD_START_RESPOND, 1);
}

static const struct script slots[] = {
    {"the end that began slot 0 makes the others", UP1 "wait:0 -> create@1 create@2"},
    {"the other one does not", PEERS1 "wait:9000"},
    {"also when the peer rekeyed slot 0", UP1 "wait:0 -> create@1 create@2 ; i:2@1 answered:2 -> install2 "
                                              "switch2 prove2 ; r:3/1 use:3 peers:1 peers:2 -> "
                                              "install3 switch3 drain1 stop2 drain2 ; wait:500 -> create@1"},
    {"unsupported ends the asking, until slot 0 has another child",
        UP1 "wait:0 -> create@1 create@2 ; fail:u@1 fail:t@2 wait:500 -> create@2 ; fail:u@2 wait:9000 ; "
            "i:2/1 answered:2 wait:1 -> install2 switch2 prove2 create@1 create@2"},
    {"not while slot 0 is down", UP1 "peers:1 wait:9000 -> stop1 drain1 remove1"},
    {"rekey takes all",
        UP1 "wait:0 -> create@1 create@2 ; i:2@1 answered:2 -> install2 switch2 prove2 ; rekey -> rekey1 "
            "rekey2 =2"},
    {"of another slot: no successor",
        UP1 "wait:0 -> create@1 create@2 ; i:2/1@1 -> refused ; i:2@7 -> refused"},
    {"a first child beside slot 0 has time", PEERS1 "r:2@1 -> install2 ; wait:1999 ; wait:1 -> switch2"},
};

Test(lifecycle, slots_of_workers)
{
	SCRIPTS_RUN(slots, TD_START_TRAP, SLOTS);
}

// ---- more than calls --------------------------------------------------------------------------

Test(lifecycle, statistics_and_events)
{
	const struct td_life_stats *stats;

	open_with(TD_START_RESPOND, 1, 20);
	script_run("answer, traffic, delete, timer",
	    "start i:1 answered:1 r:2/1 use:2 peers:1 r:3/2 peers:2 r:4/3 wait:2000 hard:4 -> install1 "
	    "switch1 prove1 "
	    "install2 switch2 drain1 install3 switch3 drain2 install4 remove1 remove2 switch4 switch3 erase4 "
	    "; "
	    "hard:3 rfail:t/3 fail:t wait:3000 -> stop3 erase3 remove4 remove3");
	stats = td_life_tunnel_stats(tunnel);
	cr_assert_eq(stats->installed, 4u);
	cr_assert_eq(stats->removed, 4u);
	cr_assert_eq(stats->activated_by_answer, 1u);
	cr_assert_eq(stats->activated_by_traffic, 1u);
	cr_assert_eq(stats->activated_by_delete, 1u);
	cr_assert_eq(stats->activated_by_timer, 1u);
	cr_assert_eq(stats->expired, 1u);
	cr_assert_eq(stats->failed, 2u);
	cr_assert_str_eq(events,
	    "child_installed child_active child_switched tunnel_up "
	    "child_installed child_active child_switched child_draining "
	    "child_installed child_active child_switched child_draining "
	    "child_installed child_removed child_removed child_active child_switched child_switched "
	    "child_expired tunnel_down tunnel_failed tunnel_failed child_removed child_removed");
	close_all();
}

Test(lifecycle, each_up_and_down_is_told)
{
	open_with(TD_START_RESPOND, 1, 20);
	script_run("twice", PEERS1 "peers:1 wait:1000 r:2 use:2 -> stop1 drain1 remove1 install2 switch2");
	cr_assert_str_eq(events,
	    "child_installed child_active child_switched tunnel_up child_draining tunnel_down child_removed "
	    "child_installed child_active child_switched tunnel_up");
	close_all();
}

Test(lifecycle, soft_times_of_both_ends_are_jittered_apart_and_before_the_hard_one)
{
	static const struct {
		uint64_t soft_s, hard_s, least_ms[2], most_ms[2]; // responder, initiator
	} rows[] = {
	    {100, 200, {100000, 90000}, {110000, 100000}},
	    {100, 0, {100000, 90000}, {110000, 100000}},
	    {100, 104, {100000, 90000}, {102000, 100000}},
	    {100, 100, {90000, 81000}, {95000, 90000}},
	};
	size_t row;
	unsigned i, side;

	random_real = true;
	for (row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		open_with(TD_START_RESPOND, 1, rows[row].hard_s);
		tunnel->config.soft_ns = rows[row].soft_s * TD_NS_PER_S;
		for (side = 0; side < 2; side++) {
			uint64_t least_ns = UINT64_MAX, most_ns = 0;

			for (i = 0; i < 2000; i++) {
				uint64_t soft_ns = td_life_soft_ns(tunnel, side == 1);

				least_ns = soft_ns < least_ns ? soft_ns : least_ns;
				most_ns = soft_ns > most_ns ? soft_ns : most_ns;
			}
			uint64_t low_ns = rows[row].least_ms[side] * TD_NS_PER_MS;
			uint64_t high_ns = rows[row].most_ms[side] * TD_NS_PER_MS;

			cr_expect_geq(least_ns, low_ns);
			cr_expect_leq(most_ns, high_ns);
			cr_expect_gt(most_ns - least_ns, (high_ns - low_ns) / 10 * 9,
			    "row %zu: hardly any jitter", row);
		}
		close_all();
	}
	open_with(TD_START_RESPOND, 1, 0);
	tunnel->config.soft_ns = 0;
	cr_assert_eq(td_life_soft_ns(tunnel, true), 0u);
	close_all();
}

Test(lifecycle, the_negotiator_is_told_when_the_child_stops)
{
	open_with(TD_START_RESPOND, 1, 20);
	script_run("with an end", UP1 "soft:1 -> rekey1");
	cr_assert_eq(rekey_deadline_ns, fakes[1].child->installed_ns + 20 * TD_NS_PER_S);
	close_all();
	open_with(TD_START_RESPOND, 1, 0);
	script_run("without", UP1 "soft:1 -> rekey1 ; wait:1000000");
	cr_assert_eq(rekey_deadline_ns, UINT64_MAX);
	close_all();
}

Test(lifecycle, a_predecessor_never_dangles)
{
	open_with(TD_START_RESPOND, 1, 20);
	script_run("up", UP1 "r:2/1 -> install2");
	cr_assert_eq(fakes[2].child->predecessor, td_life_tunnel_children(tunnel, 0)->next);
	script_run("another one is gone", "r:3 ours:3 wait:1000 -> install3 drain3 remove3");
	cr_assert_eq(fakes[2].child->predecessor, fakes[1].child);
	script_run("gone", "peers:1 wait:1000 -> switch2 drain1 remove1");
	cr_assert_null(fakes[2].child->predecessor);
	script_run("gone, but known to the negotiator",
	    "hard:2 wait:3000 -> stop2 erase2 remove2 ; r:4/2 -> install4");
	cr_assert_null(fakes[4].child->predecessor);
	close_all();
}

Test(lifecycle, looking_in)
{
	open_with(TD_START_RESPOND, 2, 20);
	cr_assert_not(td_life_tunnel_is_up(tunnel));
	cr_assert_eq(td_life_spi_reserve(tunnel, 1), 0x1001u);
	cr_assert_eq(td_life_spi_reserve(tunnel, 2), 0u);
	td_life_spi_release(tunnel, 0x1001);
	script_run("SPI", "-> release1001 ; " UP1 "r:2/1 -> install2");
	cr_assert(td_life_tunnel_is_up(tunnel));
	cr_assert_eq(td_life_tunnel_current(tunnel, 0), fakes[1].child);
	cr_assert_eq(td_life_tunnel_children(tunnel, 0), fakes[2].child);
	cr_assert_null(td_life_tunnel_current(tunnel, 1));
	cr_assert_null(td_life_tunnel_current(tunnel, 2));
	cr_assert_null(td_life_tunnel_children(tunnel, 2));
	cr_assert_str_eq(td_life_tunnel_config(tunnel)->name, "t");
	close_all();
}

// ---- any order of calls -----------------------------------------------------------------------

static void invariants(void)
{
	unsigned slot;

	for (slot = 0; slot < SLOTS; slot++) {
		const struct td_life_child *current = td_life_tunnel_current(tunnel, slot), *child, *other;
		bool active = false;

		cr_assert_eq(sent_on[slot], current != NULL ? current->spi_in : 0);
		cr_assert(current == NULL || current->state == TD_CHILD_ACTIVE);
		for (child = td_life_tunnel_children(tunnel, slot); child != NULL; child = child->next) {
			active |= child->state == TD_CHILD_ACTIVE;
			cr_assert_not(fakes[child->spi_in].removed);
			cr_assert(child->state != TD_CHILD_DRAINING || child->drain_timer.armed);
			cr_assert_eq(child->negotiator == NULL, fakes[child->spi_in].deleted);
			if (child->predecessor == NULL)
				continue;
			for (other = child->next; other != NULL && other != child->predecessor;
			     other = other->next)
				;
			cr_assert_not_null(other, "a predecessor is not of the slot, or newer");
		}
		cr_assert_eq(active, current != NULL, "what may be sent on is");
	}
}

static uint32_t known_child(void)
{
	unsigned tries;

	for (tries = 0; tries < 20; tries++) {
		uint32_t spi = 1 + (uint32_t)rand() % (CHILDREN - 1);

		if (fakes[spi].child != NULL)
			return spi;
	}
	return 0;
}

static void random_step(uint32_t *next)
{
	uint32_t spi = known_child(), before = rand() % 3 > 0 ? spi : 0;
	struct td_life_child *child = fakes[spi].child;
	static void (*const on_child[])(struct td_life_child *) = {td_life_child_answered,
	    td_life_child_asked_again, td_life_child_retire, td_life_first_use, td_life_first_use,
	    td_life_soft_limit, td_life_hard_limit};
	static void (*const on_tunnel[])(struct td_life_tunnel *) = {
	    td_life_tunnel_start, td_life_tunnel_up, td_life_acquire, td_life_tunnel_up, td_life_tunnel_down};

	switch (rand() % 8) {
	case 0:
	case 1:
		if (*next >= CHILDREN)
			break;
		(void)install(*next, rand() % 2, before,
		    before != 0 ? fakes[before].child->slot : (unsigned)rand() % SLOTS);
		(*next)++;
		break;
	case 2:
		wait_ms((uint64_t)rand() % 4000);
		break;
	case 3:
		on_tunnel[(unsigned)rand() % (sizeof(on_tunnel) / sizeof(on_tunnel[0]))](tunnel);
		break;
	case 4:
		if (child != NULL)
			deleted(spi, rand() % 2);
		break;
	case 5:
		if (rand() % 2 || child == NULL)
			td_life_create_failed(tunnel, (unsigned)rand() % SLOTS, (unsigned)rand() % 3, NULL);
		else
			td_life_rekey_failed(child, (unsigned)rand() % 3, NULL);
		break;
	default:
		if (child != NULL)
			on_child[(unsigned)rand() % (sizeof(on_child) / sizeof(on_child[0]))](child);
	}
}

Test(lifecycle, any_order_of_calls_keeps_the_invariants)
{
	unsigned seed, i;

	random_real = true;
	for (seed = 1; seed <= 1000; seed++) {
		uint32_t next = 1;

		srand(seed);
		open_with((enum td_life_start)(seed % 3), SLOTS, seed % 4 ? 20 : 0);
		for (i = 0; i < 300; i++) {
			random_step(&next);
			invariants();
			calls[0] = events[0] = '\0';
		}
		close_all();
	}
}
