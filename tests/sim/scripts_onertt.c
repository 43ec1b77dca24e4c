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
    {"onertt: message 1 with another byte is none", FRESH,
        "A>noise? B>noise! ^A>noise? B:ikes=0 wait=500 A>noise? -B>noise! wait=750 A>noise? B>noise! "
        "A:children=1",
        'A'},
    {"onertt: message 1 is lost", FRESH,
        "-A>noise? wait=500 A>noise? B>noise! A>noise? B>noise! A:children=1", 'A'},
    {"onertt: message 2 is lost, and comes again", FRESH,
        MET "-B>noise! wait=500 A>noise? B>noise! A:children=1 B:ikes=1", 'A'},
    {"onertt: both messages come twice", FRESH,
        "A>noise? B>noise! +A>noise? A>noise? B>noise! B>noise! A:ikes=1 B:ikes=1 B:replayed=0", 'A'},
    {"onertt: message 2 is altered, and asked for again", FRESH,
        MET "~B>noise! A:children=0 wait=500 A>noise? B>noise! A:children=1", 'A'},
    {"onertt: message 1 comes once more, hours later", FRESH,
        MET "B>noise! flow=100 A:rekey A>create? B>create! A>info? B>info! B:ikes=1 A:ikes=1", 'A'},
    {"onertt: a registration secret proves itself by the first packet", FRESH | SCRIPT_SECRET,
        MET "B>noise! wait=10 B:traffic=1 A>info? B>info! B:ikes=1", 'A'},
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
    {"onertt: a session goes on in another one", SCRIPT_ONERTT | SCRIPT_SESSION,
        "flow=2300 wait=300 A>noise? B>noise! A:renewed=1 B:renewed=1 wait=5", 'A'},
    {"onertt: the responder reminds, and what failed is repeated", SCRIPT_ONERTT | SCRIPT_SESSION,
        "flow=2300 wait=300 -A>noise? wait=500 A>noise? B>noise! wait=5 A:renewed=1", 'A'},
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
