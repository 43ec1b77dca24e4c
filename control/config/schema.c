// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/schema.h"

#include "control/config/config.h"

#include <limits.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT_OF(value) #value
#define TEXT(value) TEXT_OF(value)
// Where a key's value is in its structure.
#define AT(structure, member) .offset = offsetof(structure, member), .size = sizeof(((structure *)0)->member)
#define COUNTED(structure, member) .count_offset = offsetof(structure, member)

#define CORE_MAX (CPU_SETSIZE - 1)
#define TIME_MIN_MS 20 // of timers that may not be 0
#define TIME_MAX_MS (365L * 24 * 3600 * 1000)

// The readers of values rely on these shapes.
_Static_assert(
    sizeof(enum td_port_role) == sizeof(int) && sizeof(enum td_idle) == sizeof(int) &&
        sizeof(enum td_log_level) == sizeof(int) && sizeof(enum td_policy_action) == sizeof(int) &&
        sizeof(enum td_policy_direction) == sizeof(int) && sizeof(enum td_sa_mode) == sizeof(int) &&
        sizeof(enum td_df) == sizeof(int) && sizeof(enum td_tunnel_start) == sizeof(int) &&
        sizeof(enum td_negotiation) == sizeof(int) && sizeof(enum td_onertt_authentication) == sizeof(int) &&
        sizeof(enum td_onertt_source) == sizeof(int) && sizeof(enum td_onertt_delivery) == sizeof(int),
    "a word is stored as an int");
_Static_assert(offsetof(struct td_policy_config, local_port_high) ==
                       offsetof(struct td_policy_config, local_port_low) + 2 &&
                   offsetof(struct td_policy_config, remote_port_high) ==
                       offsetof(struct td_policy_config, remote_port_low) + 2 &&
                   offsetof(struct td_policy_config, remote_port_low) ==
                       offsetof(struct td_policy_config, local_port_low) + 4,
    "a port range is low, then high; ICMP messages are the local range, then the remote one");
_Static_assert(offsetof(struct td_policy_config, local_high) ==
                       offsetof(struct td_policy_config, local) + sizeof(struct td_prefix) &&
                   offsetof(struct td_policy_config, remote_high) ==
                       offsetof(struct td_policy_config, remote) + sizeof(struct td_prefix),
    "a selector is a prefix, then the last address of a range");

static const struct td_config_word idle_words[] = {
    {"adaptive", TD_IDLE_ADAPTIVE}, {"spin", TD_IDLE_SPIN}, {NULL, 0}};
static const struct td_config_word level_words[] = {{"error", TD_LOG_ERROR}, {"warning", TD_LOG_WARNING},
    {"info", TD_LOG_INFO}, {"debug", TD_LOG_DEBUG}, {NULL, 0}};
static const struct td_config_word role_words[] = {
    {"inside", TD_ROLE_INSIDE}, {"outside", TD_ROLE_OUTSIDE}, {NULL, 0}};
static const struct td_config_word action_words[] = {
    {"protect", TD_POLICY_PROTECT}, {"bypass", TD_POLICY_BYPASS}, {"discard", TD_POLICY_DISCARD}, {NULL, 0}};
static const struct td_config_word direction_words[] = {
    {"out", TD_POLICY_OUT}, {"in", TD_POLICY_IN}, {"both", TD_POLICY_BOTH}, {NULL, 0}};
static const struct td_config_word mode_words[] = {
    {"tunnel", TD_SA_TUNNEL}, {"transport", TD_SA_TRANSPORT}, {NULL, 0}};
static const struct td_config_word df_words[] = {
    {"copy", TD_DF_COPY}, {"set", TD_DF_SET}, {"clear", TD_DF_CLEAR}, {NULL, 0}};
static const struct td_config_word dscp_words[] = {{"copy", TD_DSCP_COPY}, {NULL, 0}};
static const struct td_config_word tfc_words[] = {{"mtu", TD_CONFIG_TFC_MTU}, {NULL, 0}};
static const struct td_config_word any_words[] = {{"any", 0}, {NULL, 0}};
static const struct td_config_word start_words[] = {
    {"boot", TD_TUNNEL_BOOT}, {"trap", TD_TUNNEL_TRAP}, {"respond", TD_TUNNEL_RESPOND}, {NULL, 0}};
static const struct td_config_word negotiation_words[] = {
    {"ikev2", TD_NEGOTIATION_IKEV2}, {"onertt", TD_NEGOTIATION_ONERTT}, {NULL, 0}};
static const struct td_config_word authentication_words[] = {
    {"key", TD_ONERTT_KEY}, {"id", TD_ONERTT_ID}, {"secret", TD_ONERTT_SECRET}, {NULL, 0}};
static const struct td_config_word source_words[] = {
    {"contributory", TD_ONERTT_CONTRIBUTORY}, {"initiator", TD_ONERTT_INITIATOR}, {NULL, 0}};
static const struct td_config_word delivery_words[] = {
    {"derived", TD_ONERTT_DERIVED}, {"wrapped", TD_ONERTT_WRAPPED}, {NULL, 0}};
// 89 is OSPF (RFC 2328 A.1), which the C library has no name for.
static const struct td_config_word protocol_words[] = {{"any", 0}, {"icmp", IPPROTO_ICMP},
    {"igmp", IPPROTO_IGMP}, {"ipip", IPPROTO_IPIP}, {"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP},
    {"gre", IPPROTO_GRE}, {"esp", IPPROTO_ESP}, {"ah", IPPROTO_AH}, {"icmpv6", IPPROTO_ICMPV6},
    {"ipv6-icmp", IPPROTO_ICMPV6}, {"ospf", 89}, {"sctp", IPPROTO_SCTP}, {NULL, 0}};

static const struct td_config_key worker_keys[] = {
    {"count", TD_CONFIG_INTEGER, 0, AT(struct td_config, workers), .low = 1, .high = TD_WORKERS_MAX,
        .default_text = "1", .help = "Worker threads. Each one polls its queues of every port."},
    {"cores", TD_CONFIG_INTEGERS, 0, AT(struct td_config, worker_cores),
        COUNTED(struct td_config, worker_core_count), .low = 0, .high = CORE_MAX,
        .default_meaning = "any core",
        .help =
            "CPU of each worker: as many as count, all different. Empty leaves the choice to the kernel."},
    {"main_core", TD_CONFIG_INTEGER, 0, AT(struct td_config, main_core), .low = -1, .high = CORE_MAX,
        .default_text = "-1", .help = "CPU of the control thread; -1 leaves the choice to the kernel."},
    {"idle", TD_CONFIG_WORD, 0, AT(struct td_config, idle), .words = idle_words, .default_text = "adaptive",
        .help =
            "What a worker does without packets: spin (lowest latency, the core is always busy) or adaptive "
            "(backs off, then sleeps briefly; for machines that share cores)."},
};

static const struct td_config_key memory_keys[] = {
    {"hugepages", TD_CONFIG_BOOLEAN, 0, AT(struct td_config, hugepages), .default_text = "false",
        .help =
            "Take memory from hugepages, which NICs driven by DPDK need. They must be reserved before the "
            "start (vm.nr_hugepages)."},
    {"size_mb", TD_CONFIG_INTEGER, 0, AT(struct td_config, memory_mb), .low = 448, .high = 1 << 20,
        .default_text = "768",
        .help = "Memory of the data plane in MiB: packet buffers, routes (two IPv6 tables) and policies. "
                "Tunnels with routes need about 190 more for each family. SAs take more as they come."},
    {"packet_buffers", TD_CONFIG_INTEGER, 0, AT(struct td_config, packet_buffers), .low = 1024,
        .high = 1 << 24, .default_text = "16384",
        .help = "Packet buffers of all ports and workers. At least the sum of all descriptors, as far as the "
                "file tells it: rx_queues of a port, or one, and one transmit queue."},
    {"file_prefix", TD_CONFIG_NAME, 0, AT(struct td_config, file_prefix), .default_text = "tandem",
        .help = "Keeps the run-time files of several daemons on one machine apart (DPDK's --file-prefix)."},
};

static const struct td_config_key control_keys[] = {
    {"socket", TD_CONFIG_PATH, 0, AT(struct td_config, socket_path),
        .default_text = "/run/tandem/tandem.sock", .help = "The control socket, which tandemctl talks to."},
    {"group", TD_CONFIG_NAME, 0, AT(struct td_config, socket_group), .default_text = "tandem",
        .help = "Members of this group may use the control socket, as root may."},
    {"state_dir", TD_CONFIG_PATH, 0, AT(struct td_config, state_directory), .default_text = "/var/lib/tandem",
        .help = "What outlives the daemon: the secret by which peers learn of its crash (RFC 6290)."},
};

static const struct td_config_key icmp_keys[] = {
    {"unreachable", TD_CONFIG_BOOLEAN, 0, AT(struct td_config, icmp_unreachable), .default_text = "true",
        .help = "Tell the sender of a packet that there is no route for it (net unreachable)."},
    {"prohibited", TD_CONFIG_BOOLEAN, 0, AT(struct td_config, icmp_prohibited), .default_text = "false",
        .help = "Tell a sender on the inside that a policy, or the lack of one, discards its packet."},
};

static const struct td_config_key log_keys[] = {
    {"level", TD_CONFIG_WORD, 0, AT(struct td_config, log_level), .words = level_words,
        .default_text = "info", .help = "Lines less severe than this are not written."},
};

static const struct td_config_key port_keys[] = {
    {"name", TD_CONFIG_NAME, TD_CONFIG_REQUIRED, AT(struct td_port_config, name),
        .help = "What routes, messages and counters call the port."},
    {"device", TD_CONFIG_DEVICE, TD_CONFIG_REQUIRED, AT(struct td_port_config, device),
        .help = "The NIC's PCI address, or a DPDK device string, e.g. \"net_af_packet0,iface=eth1\" for the "
                "kernel's interface eth1."},
    {"role", TD_CONFIG_WORD, TD_CONFIG_REQUIRED, AT(struct td_port_config, role), .words = role_words,
        .help = "inside: plain packets; outside: ESP and AH packets."},
    {"tap", TD_CONFIG_NAME, 0, AT(struct td_port_config, tap), .default_meaning = "the port's name",
        .help = "The kernel interface that stands for the port: ARP, ping, IKE and routing daemons use it."},
    {"mtu", TD_CONFIG_INTEGER, 0, AT(struct td_port_config, mtu), .low = TD_MTU_MIN, .high = TD_MTU_MAX,
        .default_text = "1500", .help = "Longest IP packet in bytes."},
    {"rx_queues", TD_CONFIG_INTEGER, 0, AT(struct td_port_config, rx_queues), .low = 0, .high = TD_QUEUES_MAX,
        .default_text = "0", .help = "Receive queues; 0: one per worker, as far as the device goes."},
    {"rx_descriptors", TD_CONFIG_INTEGER, 0, AT(struct td_port_config, rx_descriptors), .low = 64,
        .high = 32768, .default_text = "1024", .help = "Packets that one receive queue can hold."},
    {"tx_descriptors", TD_CONFIG_INTEGER, 0, AT(struct td_port_config, tx_descriptors), .low = 64,
        .high = 32768, .default_text = "1024", .help = "Packets that one transmit queue can hold."},
    {"promiscuous", TD_CONFIG_BOOLEAN, 0, AT(struct td_port_config, promiscuous), .default_text = "false",
        .help = "Receive packets for other MAC addresses too."},
    {"addresses", TD_CONFIG_PREFIXES, TD_CONFIG_INTERFACE, AT(struct td_port_config, addresses),
        COUNTED(struct td_port_config, address_count), .default_meaning = "none",
        .help = "IPv4 and IPv6 addresses of the port with their prefix lengths, e.g. [\"192.0.2.1/24\"]."},
};

static const struct td_config_key route_keys[] = {
    {"to", TD_CONFIG_PREFIX, TD_CONFIG_REQUIRED | TD_CONFIG_NETWORK, AT(struct td_route_config, to),
        .help = "Destinations of the route."},
    {"via", TD_CONFIG_ADDRESS, 0, AT(struct td_route_config, via), .default_meaning = "none",
        .help = "The next hop, of the family of to: on the network of a port, or link-local with port."},
    {"port", TD_CONFIG_NAME, 0, AT(struct td_route_config, port), .default_meaning = "the port of via",
        .help = "The port whose link the destinations are on. Needed when via is not given."},
};

#define IKE TD_CONFIG_PART
#define IN_PLACE TD_CONFIG_IN_PLACE
static const struct td_config_key tunnel_keys[] = {
    {"name", TD_CONFIG_NAME, TD_CONFIG_REQUIRED, AT(struct td_tunnel_config, name),
        .help = "What policies, SAs and messages call the tunnel."},
    {"local_address", TD_CONFIG_ADDRESS, TD_CONFIG_REQUIRED, AT(struct td_tunnel_config, local_address),
        .help = "Outer source of what is sent: one of the ports' addresses."},
    {"remote_address", TD_CONFIG_ADDRESS, TD_CONFIG_REQUIRED, AT(struct td_tunnel_config, remote_address),
        .words = any_words,
        .help =
            "Outer address of the other gateway, of the same family. any: wherever it negotiates from, with "
            "start \"respond\"."},
    {"mode", TD_CONFIG_WORD, 0, AT(struct td_tunnel_config, mode), .words = mode_words,
        .default_text = "tunnel",
        .help = "tunnel: packets between networks, in an outer header; transport: packets between the two "
                "outer addresses themselves."},
    {"udp_local_port", TD_CONFIG_INTEGER, 0, AT(struct td_tunnel_config, udp_local_port), .low = 0,
        .high = UINT16_MAX, .default_text = "0",
        .help = "UDP port of this gateway for ESP in UDP (RFC 3948): 4500; 0: plain ESP."},
    {"udp_remote_port", TD_CONFIG_INTEGER, 0, AT(struct td_tunnel_config, udp_remote_port), .low = 0,
        .high = UINT16_MAX, .default_text = "0",
        .help =
            "UDP port of the other gateway, 4500 unless a NAT has changed it; given with udp_local_port."},
    {"df", TD_CONFIG_WORD, 0, AT(struct td_tunnel_config, df), .words = df_words, .default_text = "copy",
        .help = "Don't-fragment bit of IPv4 outer headers: the inner packet's, set or clear."},
    {"dscp", TD_CONFIG_INTEGER, 0, AT(struct td_tunnel_config, dscp), .words = dscp_words, .low = 0,
        .high = 63, .default_text = "copy",
        .help = "Traffic class (DSCP) of outer headers: the inner packet's, or a number."},
    {"tfc", TD_CONFIG_INTEGER, 0, AT(struct td_tunnel_config, tfc), .words = tfc_words, .low = 0,
        .high = TD_MTU_MAX, .default_text = "0",
        .help =
            "Shorter packets are padded to so many bytes before they are sealed, or (mtu) to what the path "
            "carries, so that their lengths tell nothing (RFC 4303 2.7); 0: not. Not in transport mode."},
    {"dummy_rate", TD_CONFIG_INTEGER, 0, AT(struct td_tunnel_config, dummy_rate), .low = 0,
        .high = TD_DUMMY_RATE_MAX, .default_text = "0",
        .help =
            "Dummy packets per second that are sent on each current outbound SA while it is idle (RFC 4303 "
            "2.6), as long as tfc says. They count against the SA's lifetimes. Not in transport mode."},
    {"local", TD_CONFIG_PREFIXES, TD_CONFIG_NETWORK, AT(struct td_tunnel_config, local),
        COUNTED(struct td_tunnel_config, local_count), .default_meaning = "none",
        .help = "Networks behind this gateway. Every local network with every remote one of its family "
                "becomes a protect policy behind the configured policies. In transport mode: the outer "
                "addresses, also when left out."},
    {"remote", TD_CONFIG_PREFIXES, TD_CONFIG_NETWORK, AT(struct td_tunnel_config, remote),
        COUNTED(struct td_tunnel_config, remote_count), .default_meaning = "none",
        .help = "Networks behind the other gateway."},
    {"routes", TD_CONFIG_PREFIXES, TD_CONFIG_NETWORK | IN_PLACE, AT(struct td_tunnel_config, routes),
        COUNTED(struct td_tunnel_config, route_count), .default_meaning = "none",
        .help = "Destinations that take this tunnel where no policy matches; the longest prefix counts."},
    {"replay_window", TD_CONFIG_INTEGER, TD_CONFIG_POWER_OF_TWO | IN_PLACE,
        AT(struct td_tunnel_config, replay_window), .low = TD_REPLAY_WINDOW_MIN, .high = TD_REPLAY_WINDOW_MAX,
        .default_text = TEXT(TD_REPLAY_WINDOW_DEFAULT),
        .help = "Packets that may arrive late and still be taken, for inbound SAs that do not say it."},
    {"drain_ms", TD_CONFIG_INTEGER, IN_PLACE, AT(struct td_tunnel_config, drain_ms), .low = 0,
        .high = 3600000, .default_text = TEXT(TD_DRAIN_DEFAULT_MS),
        .help =
            "How long a replaced inbound SA still decrypts, in milliseconds: longer than the path reorders."},
    // How its keys are negotiated.
    {"negotiation", TD_CONFIG_WORD, IKE | TD_CONFIG_SHARED, AT(struct td_tunnel_ike_config, negotiation),
        .words = negotiation_words, .default_text = "ikev2",
        .help = "ikev2, or onertt: two messages between gateways that have each other's X25519 keys. The "
                "other gateway must say the same: neither falls back to the other."},
    {"psk_file", TD_CONFIG_FILE, IKE | IN_PLACE | TD_CONFIG_SHARED | TD_CONFIG_SECRET,
        AT(struct td_tunnel_ike_config, psk_file), .default_meaning = "none",
        .help = "Pre-shared key of both gateways, or the registration secret, of mode 0600: at least 16 "
                "bytes, or 0x and hexadecimal digits. With it, or with key_file, the tunnel negotiates its "
                "keys; else its SAs are injected."},
    {"key_file", TD_CONFIG_FILE, IKE | IN_PLACE | TD_CONFIG_SHARED | TD_CONFIG_SECRET,
        AT(struct td_tunnel_ike_config, key_file), .default_meaning = "none",
        .help = "Our private key (PEM: ECDSA, Ed25519 or RSA; for onertt X25519), of mode 0600."},
    {"certificate_file", TD_CONFIG_FILE, IKE | IN_PLACE | TD_CONFIG_SHARED,
        AT(struct td_tunnel_ike_config, certificate_file),
        .default_meaning = "none: the peer has our raw public key",
        .help = "Our certificate and those between it and the authority (PEM), our own first."},
    {"authority_file", TD_CONFIG_FILE, IKE | IN_PLACE | TD_CONFIG_SHARED,
        AT(struct td_tunnel_ike_config, authority_file), .default_meaning = "none",
        .help = "Authorities (PEM), one of which must have signed the peer's certificate. With key_file."},
    {"remote_key_file", TD_CONFIG_FILE, IKE | IN_PLACE | TD_CONFIG_SHARED,
        AT(struct td_tunnel_ike_config, remote_key_file), .default_meaning = "none",
        .help = "The peer's public key, or its very certificate (PEM). With key_file."},
    {"local_id", TD_CONFIG_IDENTITY, IKE, AT(struct td_tunnel_ike_config, local_id),
        .default_meaning = "local_address", .help = "Who we say that we are."},
    {"remote_id", TD_CONFIG_IDENTITY, IKE, AT(struct td_tunnel_ike_config, remote_id),
        .default_meaning = "remote_address; with \"any\": whoever can prove an identity",
        .help = "Who the peer must be."},
    {"start", TD_CONFIG_WORD, IKE | IN_PLACE, AT(struct td_tunnel_ike_config, start), .words = start_words,
        .default_text = "boot",
        .help = "boot: negotiates when the daemon starts; trap: with the first packet for the tunnel; "
                "respond: when "
                "the peer does."},
    {"ike", TD_CONFIG_IKE_PROPOSALS, IKE | TD_CONFIG_SHARED, AT(struct td_tunnel_ike_config, ike),
        COUNTED(struct td_tunnel_ike_config, ike_count),
        .default_meaning = "strong algorithms, AES-GCM and X25519 first",
        .help = "Proposals for the IKE SA, the best first."},
    {"esp", TD_CONFIG_ESP_PROPOSALS, IKE, AT(struct td_tunnel_ike_config, esp),
        COUNTED(struct td_tunnel_ike_config, esp_count),
        .default_meaning = "strong algorithms, AES-GCM first",
        .help = "Proposals for the SAs, the best first. With a Diffie-Hellman group rekeys have forward "
                "secrecy."},
    {"rekey_ms", TD_CONFIG_INTEGER, IKE | IN_PLACE, AT(struct td_tunnel_ike_config, rekey_ms),
        .low = TIME_MIN_MS, .high = TIME_MAX_MS, .default_text = "3600000",
        .help = "SAs get successors when they are about so old, in milliseconds."},
    {"life_ms", TD_CONFIG_INTEGER, IKE | IN_PLACE, AT(struct td_tunnel_ike_config, life_ms),
        .low = TIME_MIN_MS, .high = TIME_MAX_MS + TIME_MAX_MS / 10,
        .default_meaning = "a tenth more than rekey_ms",
        .help = "SAs end when they are so old and have no successors, in milliseconds."},
    {"rekey_bytes", TD_CONFIG_INTEGER, IKE | IN_PLACE, AT(struct td_tunnel_ike_config, limits.soft_bytes),
        .low = 0, .high = LONG_MAX, .default_text = "0",
        .help = "An SA gets a successor after so many bytes of payload; 0: any number."},
    {"life_bytes", TD_CONFIG_INTEGER, IKE | IN_PLACE, AT(struct td_tunnel_ike_config, limits.hard_bytes),
        .low = 0, .high = LONG_MAX, .default_text = "0",
        .help = "An SA ends after so many bytes; 0: any number."},
    {"rekey_packets", TD_CONFIG_INTEGER, IKE | IN_PLACE, AT(struct td_tunnel_ike_config, limits.soft_packets),
        .low = 0, .high = LONG_MAX, .default_text = "0",
        .help = "An SA gets a successor after so many packets; 0: any number."},
    {"life_packets", TD_CONFIG_INTEGER, IKE | IN_PLACE, AT(struct td_tunnel_ike_config, limits.hard_packets),
        .low = 0, .high = LONG_MAX, .default_text = "0",
        .help = "An SA ends after so many packets; 0: any number."},
    {"ike_rekey_ms", TD_CONFIG_INTEGER, IKE | IN_PLACE | TD_CONFIG_SHARED,
        AT(struct td_tunnel_ike_config, ike_rekey_ms), .low = 0, .high = TIME_MAX_MS,
        .default_text = "14400000",
        .help = "The IKE SA gets a successor when it is about so old, in milliseconds; 0: never."},
    {"retransmit_ms", TD_CONFIG_INTEGER, IKE | IN_PLACE | TD_CONFIG_SHARED,
        AT(struct td_tunnel_ike_config, retransmit_ms), .low = 5, .high = 60000, .default_text = "1000",
        .help =
            "A request without answer is sent again after so many milliseconds, then after half as many more "
            "each time."},
    {"retransmit_tries", TD_CONFIG_INTEGER, IKE | IN_PLACE | TD_CONFIG_SHARED,
        AT(struct td_tunnel_ike_config, retransmit_tries), .low = 1, .high = 20, .default_text = "8",
        .help = "A peer that has not answered a request sent so often is taken for dead."},
    {"liveness_ms", TD_CONFIG_INTEGER, IKE | IN_PLACE | TD_CONFIG_SHARED,
        AT(struct td_tunnel_ike_config, liveness_ms), .low = 0, .high = TIME_MAX_MS, .default_text = "30000",
        .help = "A peer that nothing has come from for so many milliseconds is asked for a sign of life; 0: "
                "never."},
    {"fragment_bytes", TD_CONFIG_INTEGER, IKE | IN_PLACE | TD_CONFIG_SHARED,
        AT(struct td_tunnel_ike_config, fragment_bytes), .low = TD_MTU_MIN, .high = TD_MTU_MAX,
        .default_text = "1280",
        .help = "Longer IKE packets go in fragments of their own (RFC 7383), which pass where those of IP do "
                "not."},
    {"encapsulate", TD_CONFIG_BOOLEAN, IKE | TD_CONFIG_SHARED, AT(struct td_tunnel_ike_config, encapsulate),
        .default_text = "false",
        .help = "ESP in UDP (RFC 3948) also without a NAT on the path, for firewalls that drop ESP."},
    {"per_worker", TD_CONFIG_BOOLEAN, IKE, AT(struct td_tunnel_ike_config, per_worker),
        .default_text = "false",
        .help = "SAs of its own for each worker (RFC 9611): a tunnel as fast as all of them. The peer must "
                "do it too."},
    // The one-round-trip exchange.
    {"authentication", TD_CONFIG_WORD, IKE | TD_CONFIG_SHARED,
        AT(struct td_tunnel_ike_config, authentication), .words = authentication_words, .default_text = "key",
        .help =
            "Of onertt. key: both have each other's key; id: and the initiator's local_id must belong to "
            "its key; secret: the initiator has a registration secret (psk_file) and the responder's key."},
    {"key_source", TD_CONFIG_WORD, IKE | TD_CONFIG_SHARED, AT(struct td_tunnel_ike_config, key_source),
        .words = source_words, .default_text = "contributory",
        .help = "Of onertt. Whose random numbers the first SAs' keys come from: both gateways', or the "
                "initiator's alone. Warning: with initiator there is no forward secrecy against the "
                "responder's private key. Who records the traffic and ever gets that key reads all that the "
                "first SAs carried, until their rekey."},
    {"key_delivery", TD_CONFIG_WORD, IKE | TD_CONFIG_SHARED, AT(struct td_tunnel_ike_config, key_delivery),
        .words = delivery_words, .default_text = "derived",
        .help = "Of onertt. How the first SAs' keys get to the other gateway: each derives them, or they are "
                "sent, wrapped (RFC 5649)."},
    {"early_data", TD_CONFIG_BOOLEAN, IKE | TD_CONFIG_SHARED, AT(struct td_tunnel_ike_config, early_data),
        .default_text = "false",
        .help = "Of onertt. With key_source initiator: sends before the answer is here. What is sent early "
                "is lost if the first message is."},
    {"early_delay_ms", TD_CONFIG_INTEGER, IKE | TD_CONFIG_SHARED,
        AT(struct td_tunnel_ike_config, early_delay_ms), .low = 0, .high = 1000, .default_text = "5",
        .help =
            "Of onertt. Early data waits so many milliseconds, in which the other gateway reads the first "
            "message."},
    {"code_step_s", TD_CONFIG_INTEGER, IKE | TD_CONFIG_SHARED, AT(struct td_tunnel_ike_config, code_step_s),
        .low = 1, .high = 3600, .default_text = "30",
        .help = "Of onertt. A step of the codes of time (RFC 6238) that every message carries, in seconds. "
                "Both gateways must have the same."},
    {"code_window", TD_CONFIG_INTEGER, IKE | TD_CONFIG_SHARED, AT(struct td_tunnel_ike_config, code_window),
        .low = 1, .high = 100, .default_text = "1",
        .help = "Of onertt. A message is refused whose time is more than so many steps away."},
    {"session_ms", TD_CONFIG_INTEGER, IKE | TD_CONFIG_SHARED, AT(struct td_tunnel_ike_config, session_ms),
        .low = 0, .high = TIME_MAX_MS, .default_text = "86400000",
        .help = "Of onertt. A session, rekeyed or not, is good for so many milliseconds; then the peers "
                "begin a new one, and the SAs go on in that. 0: any time."},
};
#undef IKE
#undef IN_PLACE
_Static_assert(COUNT(tunnel_keys) <= 64, "a set of tunnel keys is 64 bits");

static const struct td_config_key policy_keys[] = {
    {"action", TD_CONFIG_WORD, TD_CONFIG_REQUIRED, AT(struct td_policy_config, action), .words = action_words,
        .help = "protect: through the tunnel; bypass: in the clear; discard: dropped."},
    {"direction", TD_CONFIG_WORD, 0, AT(struct td_policy_config, direction), .words = direction_words,
        .default_text = "both", .help = "out: from inside to outside; in: the other way."},
    {"local", TD_CONFIG_SELECTOR, TD_CONFIG_NETWORK, AT(struct td_policy_config, local),
        .default_text = "any", .help = "Addresses on our side: the source going out."},
    {"remote", TD_CONFIG_SELECTOR, TD_CONFIG_NETWORK, AT(struct td_policy_config, remote),
        .default_text = "any", .help = "Addresses on the other side: the destination going out."},
    {"protocol", TD_CONFIG_PROTOCOL, 0, AT(struct td_policy_config, protocol), .words = protocol_words,
        .low = 1, .high = 255, .default_text = "any", .help = "IP protocol."},
    {"local_port", TD_CONFIG_PORTS, 0, AT(struct td_policy_config, local_port_low), .default_text = "any",
        .help = "Ports on our side, for protocol tcp, udp or sctp."},
    {"remote_port", TD_CONFIG_PORTS, 0, AT(struct td_policy_config, remote_port_low), .default_text = "any",
        .help = "Ports on the other side, for protocol tcp, udp or sctp."},
    {"icmp_type", TD_CONFIG_ICMP, 0, AT(struct td_policy_config, local_port_low), .default_text = "any",
        .help = "Messages of protocol icmp or icmpv6, in the direction that they are sent."},
    {"tunnel", TD_CONFIG_NAME, 0, AT(struct td_policy_config, tunnel), .default_meaning = "none",
        .help = "The tunnel of a protect policy; other policies have none."},
};

#define KEYS(table) .keys = (table), .key_count = COUNT(table)
#define ELEMENTS(member, counter, type)                                                                      \
	.offset = offsetof(struct td_config, member), .count_offset = offsetof(struct td_config, counter),   \
	.element_size = sizeof(type)

const struct td_config_section td_config_sections[] = {
    {"worker", NULL, "The threads that move packets.", KEYS(worker_keys)},
    {"memory", NULL, "Memory of the data plane.", KEYS(memory_keys)},
    {"control", NULL, "The control socket.", KEYS(control_keys)},
    {"icmp", NULL, "ICMP errors that the gateway may send or not. Those about TTL and size it always sends.",
        KEYS(icmp_keys)},
    {"log", NULL, "Log lines on standard error (the journal under systemd).", KEYS(log_keys)},
    {"ports", "port", "The NICs: at least one inside and one outside.",
        ELEMENTS(ports, port_count, struct td_port_config), .inline_max = TD_PORTS_MAX, KEYS(port_keys)},
    {"routes", "route", "Routes given to the kernel, from which the workers' table is mirrored.",
        ELEMENTS(routes, route_count, struct td_route_config), KEYS(route_keys)},
    {"tunnels", "tunnel", "The other gateways and the networks behind them.",
        ELEMENTS(tunnels, tunnel_count, struct td_tunnel_config), .max = TD_CONFIG_TUNNELS_MAX,
        .part_offset = offsetof(struct td_tunnel_config, ike),
        .part_size = sizeof(struct td_tunnel_ike_config), KEYS(tunnel_keys)},
    {"policies", "policy",
        "Tried in this order, before the tunnels' own; a packet without a match is dropped.",
        ELEMENTS(policies, policy_count, struct td_policy_config), KEYS(policy_keys)},
};
const unsigned td_config_section_count = COUNT(td_config_sections);

const struct td_config_section *td_config_section_find(const char *name)
{
	for (unsigned i = 0; i < td_config_section_count; i++)
		if (strcmp(td_config_sections[i].name, name) == 0)
			return &td_config_sections[i];
	return NULL;
}

const struct td_config_key *td_config_key_find(const struct td_config_section *section, const char *name)
{
	for (unsigned i = 0; i < section->key_count; i++)
		if (strcmp(section->keys[i].name, name) == 0)
			return &section->keys[i];
	return NULL;
}

bool td_config_type_is_list(enum td_config_type type)
{
	return type == TD_CONFIG_INTEGERS || type == TD_CONFIG_PREFIXES || type == TD_CONFIG_IKE_PROPOSALS ||
	       type == TD_CONFIG_ESP_PROPOSALS;
}
