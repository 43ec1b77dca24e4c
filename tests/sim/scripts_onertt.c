// SPDX-License-Identifier: BSD-3-Clause
// The one-round-trip exchange, message by message. A node without its file takes nothing up to one window
// ahead, so that the first message is refused as stale, and repeated by the responder's clock.

#include "tests/sim/script.h"

#define FRESH (SCRIPT_ONERTT | SCRIPT_FRESH)
#define MET "A>noise? B>noise! A>noise? " // B has said what time it is

const struct sim_script sim_scripts_onertt[] = {
    {"onertt: two messages, once the clock is known", FRESH,
        MET "B:children=1 B>noise! A:children=1 A:ikes=1 B:ikes=1", 'A'},
    {"onertt: a clock that is five days behind", FRESH | SCRIPT_SKEW, MET "B:stale=1 B>noise! A:children=1",
        'A'},
    {"onertt: a wrong clock, while B is asked much else", FRESH | SCRIPT_SKEW,
        "gossip=200 " MET "B>noise! A:children=1", 'A'},
    {"onertt: another key source, told once", FRESH | SCRIPT_NO_PROPOSAL | SCRIPT_DOWN_AT_END,
        "A>noise? B>noise! wait=10 +A>noise? A>noise? B>noise! B:failed=1 A:children=0", 0},
    {"onertt: who took the clock for later does not go back behind its last message 1", FRESH,
        MET
        "B>noise! flow=4000 trouble A:down wait=400 A>info? B>info! wait=400 A>info?(D(IKE) B>info! A:up "
        "A>noise? B>noise! A:children=1 A:down A>info?(D(ESP) B>info! A>info?(D(IKE) B>info! A:up A>noise? "
        "B:replayed=0 B>noise! A:children=1 A:answered=3",
        'A'},
    {"onertt: message 1 with another byte is none", FRESH,
        "A>noise? B>noise! ^A>noise? B:ikes=0 wait=500 A>noise? -B>noise! wait=750 A>noise? B>noise! "
        "A:children=1",
        'A'},
    {"onertt: message 1 is lost", FRESH,
        "-A>noise? wait=500 A>noise? B>noise! A>noise? B>noise! A:children=1", 'A'},
    {"onertt: an IKE_SA_INIT that somebody forges with the same SPI", FRESH,
        "A>noise? B>noise! B:decoy A:squat -B>init! A>noise? B>noise! A:children=1", 'A'},
    {"onertt: message 2 is lost, and comes again", FRESH,
        MET "-B>noise! wait=500 A>noise? B>noise! A:children=1 B:ikes=1", 'A'},
    {"onertt: both messages come twice", FRESH,
        "A>noise? B>noise! +A>noise? A>noise? B>noise! B>noise! A:ikes=1 B:ikes=1 B:replayed=0", 'A'},
    {"onertt: message 2 is altered, and asked for again", FRESH,
        MET "~B>noise! A:children=0 wait=500 A>noise? B>noise! A:children=1", 'A'},
    {"onertt: the header of message 2 is altered, and the session before stays",
        SCRIPT_ONERTT | SCRIPT_SESSION,
        "flow=2300 wait=300 A>noise? %B>noise! A:failed=0 A:children=1 wait=500 A>noise? B>noise! "
        "A:renewed=1",
        0},
    {"onertt: a child is deleted on the session before, whose successor has it by now",
        SCRIPT_ONERTT | SCRIPT_SESSION | SCRIPT_WORKERS,
        "flow=2300 wait=300 A>noise? -B>noise! trouble A:hard A>info?(D(ESP) B:delete=0 B:children=3", 0},
    {"onertt: message 1 comes once more in the session", FRESH,
        "A>noise? B>noise! *A>noise? B>noise! flow=100 A:rekey A>create? B>create! A>info? B>info! again "
        "B:replayed=1 B:accepted=1 B:ikes=1 A:ikes=1",
        'A'},
    {"onertt: message 1 comes once more, hours later", FRESH,
        "A>noise? B>noise! *A>noise? B>noise! B:stale=1 flow=7200000 again B:stale=2 B:accepted=1 B:ikes=1 "
        "A:ikes=1",
        'A'},
    {"onertt: message 1 comes once more, after a crash of the responder", FRESH | SCRIPT_LIVENESS,
        "A>noise? B>noise! *A>noise? B>noise! flow=100 trouble B:crash B:start again B:replayed=1 B:ikes=0 "
        "wait=1200 A>info? B>info!(QUICK_CRASH_DETECTION) A:dead=1 again B:replayed=2 B:accepted=0 B:ikes=0",
        'A'},
    {"onertt: a registration secret proves itself by the first packet", FRESH | SCRIPT_SECRET,
        MET "B>noise! wait=10 B:traffic=1 A>info? B>info! B:ikes=1", 'A'},
    {"onertt: a registration secret proves itself by deleting its child",
        FRESH | SCRIPT_SECRET | SCRIPT_EARLY,
        "A>noise? B>noise! wait=10 A:hard -A>noise? wait=4000 A>noise? B>noise! B:message=0 A>info?(D(ESP) "
        "B:message=0 B>info! wait=50",
        0},
    {"onertt: a registration secret beside all half-open SAs of IKE_SA_INIT", FRESH | SCRIPT_SECRET,
        "B:crowd=4096 A>noise? B>noise!(COOKIE) A>noise? B>noise! A>noise? B>noise!(COOKIE) A>noise? "
        "B>noise! wait=10 B:traffic=1 A>info? B>info! B:ikes=1",
        'A'},
    {"onertt: both sides connect at once", FRESH | SCRIPT_BOTH_START,
        "A>noise? B>noise? B>noise! A>noise! A>noise? B>noise? B>noise! A>noise! wait=5", 0},
    {"onertt: behind a NAT", FRESH | SCRIPT_NAT,
        MET "B>noise! A:children=1 flow=100 A:rekey A>create? B>create! A>info?", 'A'},
    {"onertt: behind a NAT that takes other ports before message 1 comes again", FRESH | SCRIPT_NAT,
        MET "-B>noise! rebind wait=500 A>noise? B>noise! A:children=1 flow=100 A:rekey A>create? B>create!",
        'A'},
    {"onertt: early data in UDP", FRESH | SCRIPT_NAT | SCRIPT_EARLY,
        MET "wait=10 A:early=1 B:traffic=1 B>noise! A:children=1", 'A'},
    {"onertt: a NAT that early data cannot know of", FRESH | SCRIPT_NAT | SCRIPT_EARLY | SCRIPT_LONG,
        MET "B>noise! A:early=0 A:children=0 flow=3000 A:children=1 B:children=1", 'A'},
    {"onertt: early data", FRESH | SCRIPT_EARLY, MET "wait=10 A:early=1 B:traffic=1 B>noise! A:children=1",
        'A'},
    {"onertt: early data, not wanted any more when the answer comes", FRESH | SCRIPT_EARLY,
        "trouble " MET "wait=10 A:early=1 A:down B>noise! flow=100 A:ikes=0 B:ikes=0 A:up", 0},
    {"onertt: a session goes on in another one", SCRIPT_ONERTT | SCRIPT_SESSION,
        "flow=2300 wait=300 A>noise? B>noise! A:renewed=1 B:renewed=1 wait=5", 'A'},
    {"onertt: the responder reminds", SCRIPT_ONERTT | SCRIPT_SESSION_B,
        "flow=2400 wait=200 A:none B>info?(KEY_EXPIRED) A>info! A>noise? B>noise! A:renewed=1 B:renewed=1 "
        "A>info?(D(ESP) B>info! A:children=1 B:children=1 A:answered=2",
        'A'},
    {"onertt: the responder says so instead of an answer, and what failed is repeated",
        SCRIPT_ONERTT | SCRIPT_SESSION_B | SCRIPT_WORKERS,
        "flow=2400 wait=200 A:answer=3 A:rekey A>create? B>create!(KEY_EXPIRED) A>noise? B>noise! "
        "A:renewed=1 B:renewed=1 A:answered=2 flow=100 A:answer=6 A:children=3 B:children=3",
        'A'},
    {"onertt: the responder says so beside an answer, and what waits is done",
        SCRIPT_ONERTT | SCRIPT_SESSION_B,
        "flow=2400 wait=200 trouble A:hard A>info?(D(ESP) B>info!(KEY_EXPIRED) A>noise? B>noise! "
        "A:renewed=1 B:renewed=1 A:answered=2 A:children=1 B:children=1",
        'A'},
    {"onertt: the first message of the next session is lost", SCRIPT_ONERTT | SCRIPT_SESSION,
        "flow=2300 wait=300 -A>noise? wait=500 A>noise? B>noise! wait=5 A:renewed=1", 'A'},
    {"onertt: refused by a busy peer, and its answers lost, so that repetitions look like replays",
        SCRIPT_ONERTT | SCRIPT_SESSION,
        "flow=2300 B:rekey wait=300 A>noise? -B>noise! wait=500 A>noise? B>noise! B:replayed=1 A>noise? "
        "-B>noise! wait=500 A>noise? B>noise! B:replayed=2 A:failed=0 A:children=1 B:children=1",
        0},
    {"onertt: the child of a stale message 1 has gone meanwhile",
        SCRIPT_ONERTT | SCRIPT_SESSION | SCRIPT_WORKERS,
        "flow=2300 wait=300 B:later=3600 trouble B>info?(KEY_EXPIRED) A>info! A>noise? B:stale=2 B:hard "
        "B>info?(D(ESP) B>noise! A:ikes=1 A:children=2 flow=400 A:renewed=1 A:children=3 "
        "B:children=3",
        0},
    {"onertt: the session ends while both sides rekey the IKE SA", SCRIPT_ONERTT | SCRIPT_SESSION,
        "flow=2300 A:rekey-ike B:rekey-ike B>create? wait=800 A>create! flow=500 A:children=1 B:children=1",
        0},
    {"onertt: a session goes on that one of two rekeys has just brought", SCRIPT_ONERTT | SCRIPT_SESSION,
        "flow=2300 A:rekey-ike B:rekey-ike A>create? B>create! wait=300 A>noise? B>noise! A:renewed=1 "
        "flow=100 A:children=1 B:children=1",
        0},
    {"onertt: rekey of the IKE SA", SCRIPT_ONERTT,
        "A:rekey-ike A>create? B>create! A>info?(D(IKE) B>info! A:ikes=1 B:ikes=1", 'A'},
    {"onertt: a crash of the initiator", SCRIPT_ONERTT, "trouble A:crash A:start A>noise? B:ikes=1 B>noise!",
        'A'},
    {"onertt: a reboot is over before two retransmissions", SCRIPT_ONERTT,
        "flow=1100 trouble B:crash B:start rest=1000", 'A'},
    {"onertt: a crash of the responder is proved (RFC 6290)", SCRIPT_ONERTT | SCRIPT_LIVENESS,
        "trouble B:crash B:start wait=1200 A>info? B>info!(QUICK_CRASH_DETECTION) A:dead=1", 'A'},
    {0},
};

// ---- every combination ----------------------------------------------------------------------------

static const struct option {
	const char *name;
	unsigned flag;
} modes[] = {{"key", 0}, {"id", SCRIPT_ID}, {"secret", SCRIPT_SECRET}},
  sources[] = {{"contributory", 0}, {"initiator", SCRIPT_INITIATOR}},
  deliveries[] = {{"derived", 0}, {"wrapped", SCRIPT_WRAPPED}};

#define COMBINATIONS (3 * 2 * 2)

const struct sim_script *sim_scripts_combinations(void)
{
	static struct sim_script scripts[COMBINATIONS + 1];
	static char names[COMBINATIONS][80];

	for (unsigned i = 0; i < COMBINATIONS; i++) {
		const struct option *mode = &modes[i / 4], *source = &sources[i / 2 % 2],
		                    *delivery = &deliveries[i % 2];

		(void)snprintf(names[i], sizeof(names[i]), "onertt: mode %s, source %s, %s", mode->name,
		    source->name, delivery->name);
		scripts[i] = (struct sim_script){
		    .name = names[i],
		    .flags = FRESH | mode->flag | source->flag | delivery->flag,
		    .steps = MET "B:children=1 B>noise! A:children=1 flow=100 A:answered=1 B:accepted=1 "
		                 "A:rekey A>create? B>create! A>info? B>info! A:ikes=1 B:ikes=1",
		    .kept = 'A',
		};
	}
	return scripts;
}
