// SPDX-License-Identifier: BSD-3-Clause
// What can happen to the rekey of a child, message by message (RFC 7296 1.3.3, 2.8, 2.25.1).

#include "tests/sim/script.h"

#define COLLIDE "A:rekey B:rekey A>create? B>create? "
// The four nonces are A's request, B's answer, B's request, A's answer. The child of the lowest goes.
#define NONCES_A_REQUEST "A:nonce=00,ff B:nonce=ff,ff "
#define NONCES_B_ANSWER "A:nonce=ff,ff B:nonce=ff,00 "
#define NONCES_B_REQUEST "A:nonce=ff,ff B:nonce=00,ff "
#define NONCES_A_ANSWER "A:nonce=ff,00 B:nonce=ff,ff "

// B wants the group that A did not take, whichever that is.
#define WRONG_GROUP "A>create? B>create!(INVALID_KE_PAYLOAD) B:turn "

const struct sim_script sim_scripts_child[] = {
    // ---- one side rekeys
    {"regular, by the initiator of the IKE SA", 0,
        "A:rekey A>create?(REKEY_SA) B:children=2 B>create! A>info?(D(ESP) B>info!(D(ESP) A:children=1 "
        "B:children=1",
        'A'},
    {"regular, by the responder of the IKE SA", 0,
        "B:rekey B>create?(REKEY_SA) A:children=2 A>create! B>info?(D(ESP) A>info!(D(ESP) A:children=1 "
        "B:children=1",
        'B'},
    {"regular, with a group of its own", SCRIPT_PFS, "A:rekey A>create?(KE) B>create!(KE) A>info? B>info!",
        'A'},
    {"wrong group, by the initiator", SCRIPT_GROUPS,
        "A:rekey A>create? B>create!(INVALID_KE_PAYLOAD) B:children=1 A>create?(KE) B>create!(KE) A>info? "
        "B>info!",
        'A'},
    {"wrong group, by the responder", SCRIPT_GROUPS,
        "B:rekey B>create? A>create!(INVALID_KE_PAYLOAD) A:children=1 B>create?(KE) A>create!(KE) B>info? "
        "A>info!",
        'B'},
    {"wrong groups without end", SCRIPT_GROUPS,
        "A:rekey " WRONG_GROUP WRONG_GROUP WRONG_GROUP WRONG_GROUP WRONG_GROUP "A:none", 0},
    {"no memory for the rekey: it is tried again", SCRIPT_LIFETIME,
        "A:untasked=1 wait=700 A>create?(REKEY_SA) B>create! A>info? B>info!", 0},
    {"no memory for the delete of a child: it is sent later", 0,
        "A:rekey A>create? A:untasked=2 B>create! A:none wait=300 A>info?(D(ESP) B>info!", 'A'},
    {"no memory for a hard limit's delete: it is sent later", 0,
        "trouble A:untasked=1 A:hard wait=300 A>info?(D(ESP) B>info!", 0},
    {"the responder ignores a soft limit while it waits for the delete", 0,
        "A:rekey A>create? B>create! B:soft wait=100 B:none A>info?(D(ESP) B>info! A:children=1", 'A'},
    {"the responder ignores an operator's rekey while it waits for the delete", 0,
        "A:rekey A>create? B>create! B:rekey wait=1 B:none A>info? B>info!", 'A'},
    {"hard limit at the responder before the delete comes", 0,
        "A:rekey A>create? B>create! wait=50 B:hard-old B>info?(D(ESP) A>info? B>info! A>info!", 'A'},
    {"hard limit at the responder before the initiator has the answer", 0,
        "trouble A:rekey A>create? B:hard B:timer=1 B>create! wait=50 calm", 0},
    {"hard limit at the initiator while it rekeys", 0, "trouble A:rekey A:hard wait=10", 0},
    {"soft limit, then a lost request is sent again", SCRIPT_LIFETIME,
        "wait=600 -A>create? wait=100 A>create? B>create!", 0},
    {"repetitions come less and less often while there is time", SCRIPT_HOUR,
        "trouble A:rekey A:mute wait=6000 A:repeated=4 A:heard", 0},
    {"repetitions come as often as the time that is left demands", SCRIPT_LIFETIME,
        "trouble A:mute B:mute wait=900 A:repeated=9 A:heard B:heard", 0},
    {"an exchange that a rekey waits for hurries, too", SCRIPT_LIFETIME,
        "trouble A:mute B:mute A:rekey-ike wait=900 A:repeated=13 A:heard B:heard", 0},
    {"lifetimes alone keep the tunnel up", SCRIPT_LIFETIME, "flow=10000 A:expired=0 B:expired=0", 0},
    {"hard limits on both sides without a word between them", SCRIPT_LIFETIME,
        "trouble A:mute B:mute wait=1600 A:expired=1 B:expired=1 A:heard B:heard", 0},
    {"delete is lost and sent again", 0,
        "A:rekey A>create? B>create! -A>info? wait=500 A>info?(D(ESP) B>info!", 'A'},
    {"delete is lost for good: traffic alone activates", 0,
        "A:rekey A>create? B>create! -A>info? A:mute wait=1200 B:traffic=2 A:heard", 'A'},
    {"answer to the delete is lost", 0,
        "A:rekey A>create? B>create! A>info? -B>info! wait=500 A>info? B>info!", 'A'},
    {"every message twice", 0,
        "A:rekey +A>create? A>create? B>create! B>create! +A>info? A>info? B>info! B>info!", 'A'},
    {"request is lost and sent again", 0, "A:rekey -A>create? wait=500 A>create? B>create! A>info? B>info!",
        'A'},
    {"answer is lost: nobody sends on what the other does not have", 0,
        "A:rekey A>create? -B>create! wait=500 A>create? -B>create! wait=750 B:timer=0 A>create? B>create! "
        "A>info? B>info!",
        'A'},
    {"the peer has lost the child", 0, "trouble A:rekey -A>create? B:down wait=1 -B>info? B:up wait=500", 0},
    {"the peer has lost its state", 0, "trouble A:rekey B:crash B:start", 0},
    {"delete of the old child by the wrong side", 0,
        "trouble A:rekey A>create? B:hard-old B>info?(D(ESP) A>info! B>create! wait=10", 0},
    {"the second of three rekeys starts before the first is deleted", 0,
        "A:rekey A>create? B>create! wait=20 A:rekey wait=1 A>info? B>info! A>create? B>create! A>info? "
        "B>info!",
        'A'},
    {"the initiator cannot install the successor: it asks again", 0,
        "A:rekey A>create? A:uninstalled=1 B:children=2 B>create! A:children=1 A>info?(D(ESP) B>info! "
        "B:children=1 wait=300 A>create?(REKEY_SA) B:children=2 B>create! A>info? B>info!",
        'A'},
    {"the initiator cannot install the successor: the responder may ask, too", 0,
        "A:rekey A>create? A:uninstalled=1 B>create! A>info?(D(ESP) B>info! B:rekey B>create?(REKEY_SA) "
        "A:children=2 A>create! B>info? A>info!",
        'B'},
    {"the initiator cannot install the successor that the responder wanted, too", SCRIPT_LIVENESS,
        "wait=1200 A>info? B>info! B:rekey A:rekey A>create? A:uninstalled=1 B>create! B>info? A>info! "
        "wait=1 "
        "B:none A>info?(D(ESP) B>info! wait=300 B>create?(REKEY_SA)",
        0},
    {"a collision whose winner cannot be installed", 0,
        NONCES_B_REQUEST COLLIDE "A:uninstalled=1 B>create! A>create! wait=5", 0},
    {"the responder cannot install the successor: it is asked again", 0,
        "A:rekey B:uninstalled=1 A>create? B>create!(TEMPORARY_FAILURE) B:children=1 wait=500 "
        "A>create?(REKEY_SA) B:children=2 B>create! A>info? B>info!",
        'A'},
    {"the peer takes one child for each IKE SA: there is another IKE SA for the next (RFC 7296 4)", 0,
        "trouble B:minimal A:rekey A>create? B>create!(NO_ADDITIONAL_SAS) A:children=1 A:hard A>info?(D(ESP) "
        "B>info! A>create? B>create!(NO_ADDITIONAL_SAS) A>info?(D(IKE) B>info! A:ikes=0 B:ikes=0 rest=2000 "
        "A:children=1",
        'A'},
    {"the peer takes one child for each IKE SA: the delete may be lost", 0,
        "trouble B:minimal A:hard A>info?(D(ESP) B>info! A>create? B>create!(NO_ADDITIONAL_SAS) "
        "-A>info?(D(IKE) flow=400 A:children=1 B:children=1",
        'A'},
    {"children of workers", SCRIPT_WORKERS, "rest A:rekey B:rekey", 0},

    // ---- both sides rekey
    {"collision, lowest nonce in A's request", 0, NONCES_A_REQUEST COLLIDE "B>create! A>create! wait=5", 'B'},
    {"collision, lowest nonce in B's answer", 0, NONCES_B_ANSWER COLLIDE "B>create! A>create! wait=5", 'B'},
    {"collision, lowest nonce in B's request", 0, NONCES_B_REQUEST COLLIDE "B>create! A>create! wait=5", 'A'},
    {"collision, lowest nonce in A's answer", 0, NONCES_A_ANSWER COLLIDE "B>create! A>create! wait=5", 'A'},
    {"collision, A's answer is late and B wins", 0,
        NONCES_A_REQUEST COLLIDE "A>create! wait=5 B>info?(D(ESP) A>info! wait=100 B>create!", 'B'},
    {"collision, A's answer is late and A wins", 0,
        NONCES_B_REQUEST COLLIDE "A>create! wait=100 B:children=3 B>create! wait=5 A:children=3", 'A'},
    {"collision, B's answer is late and A wins", 0,
        NONCES_B_REQUEST COLLIDE "B>create! wait=5 A>info?(D(ESP) B>info! wait=100 A>create!", 'A'},
    {"collision, B's answer is late and B wins", 0,
        NONCES_A_REQUEST COLLIDE "B>create! wait=100 A:children=3 A>create! wait=5 B:children=3", 'B'},
    {"collision, both answers are lost once", 0,
        COLLIDE "-B>create! -A>create! wait=500 A>create? B>create? B>create! A>create!", 0},
    {"collision, A's request is late", 0,
        "A:rekey B:rekey B>create? A>create! wait=5 A>create? B>create! B>info? A>info!", 0},
    {"collision, A's request comes after the delete", 0,
        "A:rekey B:rekey B>create? A>create! wait=5 B>info?(D(ESP) A>info! A>create? B>create!", 0},
    {"collision, B's request is late", 0,
        "A:rekey B:rekey A>create? B>create! wait=5 B>create? A>create! A>info? B>info!", 0},
    {"collision, B's request comes after the delete", 0,
        "A:rekey B:rekey A>create? B>create! wait=5 A>info?(D(ESP) B>info! B>create? A>create!", 0},
    {"collision, A's request is lost once", 0, "A:rekey B:rekey -A>create? B>create? A>create! wait=600", 0},
    {"collision with wrong groups", SCRIPT_GROUPS,
        "A:rekey B:rekey A>create? B>create? B>create!(INVALID_KE_PAYLOAD) A>create!(INVALID_KE_PAYLOAD) "
        "A>create? B>create? B>create! A>create!",
        0},
    {"collision with wrong groups, A's retry is late", SCRIPT_GROUPS,
        "A:rekey B:rekey A>create? B>create? B>create! A>create! B>create? A>create! wait=5 A>create? "
        "B>create!",
        0},
    {"collision with wrong groups, A's retry comes after the delete", SCRIPT_GROUPS,
        "A:rekey B:rekey A>create? B>create? B>create! A>create! B>create? A>create! wait=5 B>info? A>info! "
        "A>create? B>create!",
        0},

    // ---- one side rekeys, the other deletes
    {"rekey meets delete", 0, "trouble A:rekey B:hard A>create? B>info? B>create!(TEMPORARY_FAILURE) A>info!",
        0},
    {"rekey meets delete, the other way", 0,
        "trouble B:rekey A:hard B>create? A>info? A>create!(TEMPORARY_FAILURE) B>info!", 0},
    {"rekey meets delete, the delete comes first", 0,
        "trouble A:rekey B:hard B>info? A>create? B>create! A>info!", 0},
    {"rekey meets delete, the delete is lost once", 0,
        "trouble A:rekey B:hard -B>info? A>create? B>create!(TEMPORARY_FAILURE) wait=500 B>info? A>info!", 0},
    {"rekey meets delete, the delete's answer is late", 0,
        "trouble A:rekey B:hard B>info? A>info! A>create?(REKEY_SA) B>create!(CHILD_SA_NOT_FOUND)", 0},
    {"rekey meets delete, the rekey is lost once", 0,
        "trouble A:rekey B:hard -A>create? B>info? A>info! wait=500", 0},

    // ---- a child and the IKE SA
    {"rekey of a child meets rekey of the IKE SA", 0,
        "A:rekey B:rekey-ike A>create?(REKEY_SA) B>create!(TEMPORARY_FAILURE) B>create? A>create!", 0},
    {"rekey of a child meets rekey of the IKE SA, the IKE request comes first", 0,
        "A:rekey B:rekey-ike B>create? A>create!(TEMPORARY_FAILURE) A>create? B>create! wait=5", 0},
    {"rekey of a child meets rekey of the IKE SA, crosswise", 0,
        "A:rekey B:rekey-ike A>create? B>create? B>create!(TEMPORARY_FAILURE) A>create!(TEMPORARY_FAILURE)",
        0},
    {"delete of a child meets rekey of the IKE SA", 0,
        "A:rekey A>create? B>create! B:rekey-ike A>info? B>create? B>info! A>create!", 0},
    {"rekey of a child meets delete of the IKE SA", 0,
        "trouble A:rekey B:down B>any? B:up A>create? wait=100", 0},
    {"rekey of a child right after that of the IKE SA", 0,
        "B:rekey-ike B>create? A:rekey A>create! A>create? B>create!", 0},
    {"a child's request on the IKE SA that is being replaced", 0,
        "B:rekey-ike B>create? -A>create! A:rekey wait=500 B>create? A>create! wait=5", 0},
    {0},
};
