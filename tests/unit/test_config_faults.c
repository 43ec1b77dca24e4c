// SPDX-License-Identifier: BSD-3-Clause
// What is wrong with a configuration file, and how it is said.
#include "tests/unit/config_file.h"

TestSuite(config_faults, .init = make_directory, .fini = remove_directory, .timeout = 120);

static const struct {
	const char *name;
	const char *text;
	const char *expected; // what is behind "FILE:"
	const char *also; // the second error, or NULL
} faults[] = {
    // Syntax and shape.
    {"syntax", BASE "worker = ;", "4: syntax error", NULL},
    {"twice", BASE "log: {};\nlog: {};", "5: duplicate setting name", NULL},
    {"empty file", "", "1: ports is missing", NULL},
    {"unknown section", BASE "workers: {};", "4: workers: is not a known key (did you mean \"worker\"?)",
        NULL},
    {"unknown section, no guess", BASE "zebra: {};",
        "4: zebra: is not a known key; allowed is one of worker,", NULL},
    {"unknown key", BASE "worker: {\ncuont = 1; };",
        "5: worker: cuont is not a known key (did you mean \"count\"?); allowed is one of count, cores, "
        "main_core, "
        "idle",
        NULL},
    {"unknown key in a list", BASE "routes = ( { to=\"10.9.0.0/16\"; prot=\"inside\"; } );",
        "4: routes[0]: prot is not a known key (did you mean \"port\"?); allowed is one of to, via, port",
        "4: routes[0]: has neither via nor port"},
    {"scalar for a group", BASE "log = 3;", "4: log: is not a group", NULL},
    {"group for a list", BASE "routes = { };", "4: routes: is not a list; allowed is routes = ( {", NULL},
    {"array for a list", BASE "routes = [ 1 ];", "4: routes: is not a list", NULL},
    {"scalar in a list", BASE "routes = ( 5 );", "4: routes[0]: is not a group", NULL},
    {"ports are no list", "ports = 5;", "1: ports: is not a list", NULL},
    {"all errors", BASE "worker: { count = 0; };\nlog: { level = \"loud\"; };", "4: worker: count is 0",
        "5: log: level is \"loud\"; allowed is \"error\", \"warning\", \"info\" or \"debug\""},
    // Values.
    {"text for a number", BASE "worker: { count = \"2\"; };",
        "4: worker: count is \"2\"; allowed is an integer from 1 to 64", NULL},
    {"float for a number", BASE "worker: { count = 2.5; };", "4: worker: count is 2.5; allowed", NULL},
    {"number for a truth", BASE "memory: { hugepages = 1; };",
        "4: memory: hugepages is 1; allowed is true or false", NULL},
    {"truth for a number", BASE "memory: { size_mb = true; };", "4: memory: size_mb is true; allowed", NULL},
    {"group for text", BASE "log: { level = { }; };", "4: log: level is a group; allowed", NULL},
    {"too small", BASE "memory: { size_mb = 447; };",
        "4: memory: size_mb is 447; allowed is an integer from 448 to 1048576", NULL},
    {"64 bits", BASE "memory: { size_mb = 4294967808L; };", "4: memory: size_mb is 4294967808;", NULL},
    {"relative socket", BASE "control: { socket = \"tandem.sock\"; };",
        "4: control: socket is \"tandem.sock\"; allowed is an absolute path of at most 107 bytes", NULL},
    {"name characters", BASE "control: { group = \"a b\"; };",
        "4: control: group is \"a b\", of which character 2 cannot be in a name; allowed", NULL},
    {"empty name", BASE "control: { group = \"\"; };", "4: control: group is \"\", which is empty;", NULL},
    {"few buffers", BASE "memory: { packet_buffers = 4095; };",
        "4: memory: packet_buffers is 4095, less than the 4096 descriptors of all queues", NULL},
    {"many descriptors",
        "ports = (\n{ " OUTSIDE " rx_queues = 8; rx_descriptors = 8192; },\n{ " INSIDE
        " } );\nworker: { count = 2; };",
        "1: ports: has 19456 descriptors in all queues, more than memory.packet_buffers (16384)", NULL},
    {"dots", BASE "memory: { file_prefix = \"..\"; };", "4: memory: file_prefix is \"..\", which has", NULL},
    {"control character", BASE "log: { level = \"a\\nb\"; };", "4: log: level is \"a?b\";", NULL},
    // Workers.
    {"core count", BASE "worker: { count = 2; cores = [1]; };",
        "4: worker: cores has 1 cores for 2 workers; allowed is one core for each worker", NULL},
    {"same core", BASE "worker: { count = 2; cores = [1, 1]; };",
        "4: worker: cores[1] is 1, which worker 0 has already", NULL},
    {"no array", BASE "worker: { cores = 1; };", "4: worker: cores is 1; allowed is an array in [ ]", NULL},
    {"core range", BASE "worker: { cores = [-1]; };", "4: worker: cores[0] is -1; allowed is", NULL},
    {"spin on the main core", BASE "worker: { cores = [1]; main_core = 1; idle = \"spin\"; };",
        "4: worker: cores[0] is 1, which is main_core", NULL},
    // Ports.
    {"missing keys", "ports = (\n{ " OUTSIDE " },\n{ name=\"inside\"; role=\"inside\"; } );",
        "3: port inside: device is missing; allowed is a PCI address", NULL},
    {"missing name", "ports = ( { " OUTSIDE " },\n{ device=\"net_null0\"; role=\"inside\"; } );",
        "2: ports[1]: name is missing", NULL},
    {"no inside", "ports = ( { " OUTSIDE " } );", "1: ports: no port has the role \"inside\"", NULL},
    {"no outside", "ports = ( { " INSIDE " } );", "1: ports: no port has the role \"outside\"", NULL},
    {"unknown role", "ports = ( { " OUTSIDE " },\n{ name=\"i\"; device=\"net_null0\"; role=\"insdie\"; } );",
        "2: port i: role is \"insdie\"; allowed is \"inside\" or \"outside\"", NULL},
    {"long name",
        "ports = ( { " OUTSIDE " },\n{ tap=\"i\"; name=\"abcdefghijklmnopqrstuvwxyz012345\"; "
        "device=\"net_null0\"; role=\"inside\"; } );",
        "2: port abcdefghijklmnopqrstuvwxyz012345: name is \"abcdefghijklmnopqrstuvwxyz012345\", which is 32 "
        "characters long; allowed is a string of 1 to 31",
        NULL},
    {"long tap",
        "ports = ( { " OUTSIDE
        " },\n{ name=\"i\"; tap=\"abcdefghijklmnop\"; device=\"net_null0\"; role=\"inside\"; } );",
        "2: port i: tap is \"abcdefghijklmnop\", which is 16 characters long", NULL},
    {"name too long for a tap",
        "ports = ( { " OUTSIDE
        " },\n{ name=\"abcdefghijklmnop\"; device=\"net_null0\"; role=\"inside\"; } );",
        "2: port abcdefghijklmnop: tap is missing and the name is too long for an interface", NULL},
    {"tap is the device's interface",
        "ports = ( { " OUTSIDE " },\n{ name=\"eth1\"; device=\"net_null0\"; role=\"inside\"; } );",
        "2: port eth1: tap is \"eth1\", the interface of device \"net_af_packet0,iface=eth1\"", NULL},
    {"kernel interface", "ports = ( { " OUTSIDE " },\n{ name=\"i\"; device=\"eth2\"; role=\"inside\"; } );",
        "2: port i: device is \"eth2\", which may be a kernel interface (then write "
        "\"net_af_packet0,iface=eth2\")",
        NULL},
    {"bad PCI", "ports = ( { " OUTSIDE " },\n{ name=\"i\"; device=\"0000:01:00\"; role=\"inside\"; } );",
        "2: port i: device is \"0000:01:00\"; allowed is a PCI address", NULL},
    {"same name",
        "ports = ( { " OUTSIDE " },\n{ name=\"outside\"; device=\"net_null0\"; role=\"inside\"; } );",
        "2: port outside: name is \"outside\", as in line 1; allowed is what no other port has", NULL},
    {"same tap",
        "ports = ( { " OUTSIDE
        " },\n{ name=\"i\"; tap=\"outside\"; device=\"net_null0\"; role=\"inside\"; } );",
        "2: port i: tap is \"outside\", as in line 1", NULL},
    {"same device",
        "ports = ( { " OUTSIDE
        " },\n{ name=\"i\"; device=\"net_af_packet0,iface=eth5\"; role=\"inside\"; } );",
        "2: port i: device is \"net_af_packet0\", as in line 1", NULL},
    {"same PCI device",
        "ports = ( { name=\"o\"; device=\"0000:0a:00.0\"; role=\"outside\"; },\n"
        "{ name=\"i\"; device=\"0A:00.0\"; role=\"inside\"; } );",
        "2: port i: device is \"0000:0a:00.0\", as in line 1", NULL},
    {"MTU", "ports = ( { " OUTSIDE " },\n{ " INSIDE "\nmtu = 9001; } );",
        "3: port inside: mtu is 9001; allowed is an integer from 576 to 9000", NULL},
    {"MTU below IPv4's", "ports = ( { " OUTSIDE " },\n{ " INSIDE "\nmtu = 575; } );",
        "3: port inside: mtu is 575; allowed is an integer from 576 to 9000", NULL},
    {"MTU below IPv6's",
        "ports = ( { " OUTSIDE " },\n{ name=\"i\"; device=\"net_null0\"; role=\"inside\"; "
        "addresses=[\"10.1.0.1/24\", \"2001:db8:1::1/64\", \"2001:db8:2::1/64\"];\nmtu = 1279; } );",
        "3: port i: mtu is 1279 on a port with IPv6 addresses; allowed is 1280 or more there", NULL},
    {"same address",
        "ports = ( { " OUTSIDE " },\n{ name=\"i\"; device=\"net_null0\"; role=\"inside\"; "
        "addresses=[\"10.1.0.1/24\", \"192.0.2.1/32\"]; } );",
        "2: port i: addresses[1] is given twice", NULL},
    {"network as address",
        "ports = ( { " OUTSIDE " },\n{ name=\"i\"; device=\"net_null0\"; role=\"inside\"; "
        "addresses=[\"10.1.0.0/24\", \"10.1.0.1\"]; } );",
        "2: port i: addresses[0] is \"10.1.0.0/24\", which is the network's own or its broadcast address",
        "2: port i: addresses[1] is \"10.1.0.1\", which has no prefix length"},
    {"bad addresses",
        "ports = ( { " OUTSIDE " },\n{ name=\"i\"; device=\"net_null0\"; role=\"inside\"; "
        "addresses=(\"10.1.0.256/24\", 5); } );",
        "2: port i: addresses[0] is \"10.1.0.256/24\"; allowed is an interface address",
        "2: port i: addresses[1] is 5; allowed is an interface address"},
    // Routes.
    {"neither via nor port", BASE "routes = ( { to=\"10.9.0.0/16\"; } );",
        "4: routes[0]: has neither via nor port", NULL},
    {"no such port", BASE "routes = ( { to=\"10.9.0.0/16\"; port=\"x\"; } );",
        "4: routes[0]: port is \"x\", which is no port's name", NULL},
    {"via off link", BASE "routes = ( { to=\"10.9.0.0/16\"; via=\"203.0.113.1\"; } );",
        "4: routes[0]: via is \"203.0.113.1\", which is on no network of any port", NULL},
    {"via on another port", BASE "routes = ( { to=\"10.9.0.0/16\"; via=\"192.0.2.9\"; port=\"inside\"; } );",
        "4: routes[0]: via is \"192.0.2.9\", which is on no network of port inside", NULL},
    {"via ourselves", BASE "routes = ( { to=\"10.9.0.0/16\"; via=\"192.0.2.1\"; } );",
        "4: routes[0]: via is \"192.0.2.1\", this gateway's own", NULL},
    {"via multicast", BASE "routes = ( { to=\"10.9.0.0/16\"; via=\"224.0.0.1\"; } );",
        "4: routes[0]: via is \"224.0.0.1\", which is not a unicast address", NULL},
    {"host bits", BASE "routes = ( { to=\"10.9.0.1/16\"; port=\"inside\"; } );",
        "4: routes[0]: to is \"10.9.0.1/16\", which has host bits set; allowed", NULL},
    {"same route",
        BASE "routes = ( { to=\"10.9.0.0/16\"; port=\"inside\"; },\n{ to=\"10.9.0.0/16\"; "
             "port=\"outside\"; } );",
        "5: routes[1]: to is \"10.9.0.0/16\", as in line 4", NULL},
    {"mixed route", BASE "routes = ( { to=\"2001:db8:1::/48\"; via=\"192.0.2.2\"; } );",
        "4: routes[0]: mixes IPv4 and IPv6", NULL},
    {"IPv6 via off link", BASE "routes = ( { to=\"2001:db8:9::/48\"; via=\"2001:db8:1::2\"; } );",
        "4: routes[0]: via is \"2001:db8:1::2\", which is on no network of any port", NULL},
    {"link-local via without port", BASE "routes = ( { to=\"::/0\"; via=\"fe80::1\"; } );",
        "4: routes[0]: via is \"fe80::1\", which is on every link; allowed is a link-local address with port",
        NULL},
    // Tunnels.
    {"same tunnel", BASE "tunnels = ( { " TUNNEL_ENDS " },\n{ " TUNNEL_ENDS " } );",
        "5: tunnel b: name is \"b\", as in line 4; allowed is what no other tunnel has", NULL},
    {"foreign local address",
        BASE "tunnels = ( { name=\"b\"; local_address=\"192.0.2.3\"; remote_address=\"192.0.2.2\"; } );",
        "4: tunnel b: local_address is \"192.0.2.3\", which no port has", NULL},
    {"own remote address",
        BASE "tunnels = ( { name=\"b\"; local_address=\"192.0.2.1\"; remote_address=\"10.1.0.1\"; } );",
        "4: tunnel b: remote_address is \"10.1.0.1\", this gateway's own", NULL},
    {"mixed ends",
        BASE "tunnels = ( { name=\"b\"; local_address=\"192.0.2.1\"; remote_address=\"2001:db8::2\"; } );",
        "4: tunnel b: mixes IPv4 and IPv6; allowed is the same family in local_address", NULL},
    {"foreign IPv6 ends",
        BASE "tunnels = ( { name=\"b\"; local_address=\"2001:db8::2\"; remote_address=\"2001:db8::1\"; } );",
        "4: tunnel b: local_address is \"2001:db8::2\", which no port has",
        "4: tunnel b: remote_address is \"2001:db8::1\", this gateway's own"},
    {"mode", BASE "tunnels = ( { " TUNNEL_ENDS " mode=\"beet\"; } );",
        "4: tunnel b: mode is \"beet\"; allowed is \"tunnel\" or \"transport\"", NULL},
    {"one UDP port", BASE "tunnels = ( { " TUNNEL_ENDS " udp_remote_port=4500; } );",
        "4: tunnel b: has only one of udp_local_port and udp_remote_port; allowed is both", NULL},
    {"other UDP port", BASE "tunnels = ( { " TUNNEL_ENDS " udp_local_port=500; udp_remote_port=4500; } );",
        "4: tunnel b: udp_local_port is 500, where no ESP is received; allowed is 4500, or 0", NULL},
    {"UDP port range", BASE "tunnels = ( { " TUNNEL_ENDS " udp_local_port=4500; udp_remote_port=65536; } );",
        "4: tunnel b: udp_remote_port is 65536; allowed is an integer from 0 to 65535", NULL},
    {"DF", BASE "tunnels = ( { " TUNNEL_ENDS " df=\"keep\"; } );",
        "4: tunnel b: df is \"keep\"; allowed is \"copy\", \"set\" or \"clear\"", NULL},
    {"DSCP", BASE "tunnels = ( { " TUNNEL_ENDS " dscp=64; } );",
        "4: tunnel b: dscp is 64; allowed is \"copy\" or an integer from 0 to 63", NULL},
    {"DSCP word", BASE "tunnels = ( { " TUNNEL_ENDS " dscp=\"ef\"; } );",
        "4: tunnel b: dscp is \"ef\"; allowed is \"copy\" or an integer", NULL},
    {"negative DSCP", BASE "tunnels = ( { " TUNNEL_ENDS " dscp=-1; } );",
        "4: tunnel b: dscp is -1; allowed is \"copy\"", NULL},
    {"TFC", BASE "tunnels = ( { " TUNNEL_ENDS " tfc=9001; } );",
        "4: tunnel b: tfc is 9001; allowed is \"mtu\" or an integer from 0 to 9000", NULL},
    {"TFC word", BASE "tunnels = ( { " TUNNEL_ENDS " tfc=\"max\"; } );",
        "4: tunnel b: tfc is \"max\"; allowed is \"mtu\" or an integer", NULL},
    {"dummy rate", BASE "tunnels = ( { " TUNNEL_ENDS " dummy_rate=1001; } );",
        "4: tunnel b: dummy_rate is 1001; allowed is an integer from 0 to 1000", NULL},
    {"TFC in transport mode",
        BASE "tunnels = ( { " TUNNEL_ENDS " mode=\"transport\"; tfc=\"mtu\"; dummy_rate=1; } );",
        "4: tunnel b: tfc is given with mode \"transport\"",
        "4: tunnel b: dummy_rate is given with mode \"transport\""},
    {"transport selectors",
        BASE "tunnels = ( { " TUNNEL_ENDS
             " mode=\"transport\"; local=[\"192.0.2.1\", \"192.0.2.0/24\"]; remote=[\"192.0.2.9\"]; } );",
        "4: tunnel b: local[1] is not the tunnel's local_address; allowed with mode \"transport\" is "
        "\"192.0.2.1\" alone",
        "4: tunnel b: remote[0] is not the tunnel's remote_address; allowed with mode \"transport\" is "
        "\"192.0.2.2\" alone"},
    {"mixed transport ends",
        BASE "tunnels = ( { name=\"b\"; mode=\"transport\"; local_address=\"192.0.2.1\"; "
             "remote_address=\"2001:db8::2\"; } );",
        "4: tunnel b: mixes IPv4 and IPv6; allowed is the same family in local_address", NULL},
    {"transport routes",
        BASE "tunnels = ( { " TUNNEL_ENDS " mode=\"transport\"; routes=[\"10.2.0.0/24\"]; } );",
        "4: tunnel b: routes is given with mode \"transport\"", NULL},
    {"route with host bits", BASE "tunnels = ( { " TUNNEL_ENDS " routes=[\"2001:db8::1/32\"]; } );",
        "4: tunnel b: routes[0] is \"2001:db8::1/32\", which has host bits set; allowed is a prefix", NULL},
    {"same tunnel routes",
        BASE "tunnels = ( { " TUNNEL_ENDS " routes=[\"10.2.0.0/16\", \"2001:db8:2::/48\"]; },\n"
             "{ name=\"c\"; local_address=\"192.0.2.1\"; remote_address=\"192.0.2.3\"; "
             "routes=[\"10.2.0.0/24\", \"2001:db8:2::/48\"]; } );",
        "5: tunnel c: has route 2001:db8:2::/48, as the tunnel in line 4; allowed is what no other tunnel "
        "has",
        NULL},
    {"selector with host bits",
        BASE "tunnels = ( { " TUNNEL_ENDS " local=[\"10.1.0.1/24\"]; remote=[\"10.2.0.0/24\"]; } );",
        "4: tunnel b: local[0] is \"10.1.0.1/24\", which has host bits set", NULL},
    {"mixed selectors",
        BASE "tunnels = ( { " TUNNEL_ENDS " local=[\"10.1.0.0/24\"]; remote=[\"2001:db8:2::/48\"]; } );",
        "4: tunnel b: mixes IPv4 and IPv6; allowed is a local and a remote prefix of the same family", NULL},
    {"bad selector is of no family",
        BASE "tunnels = ( { " TUNNEL_ENDS " local=[\"10.1.0.0/33\"]; remote=[\"2001:db8:2::/48\"]; } );",
        "4: tunnel b: local[0] is \"10.1.0.0/33\"; allowed is a prefix", NULL},
    {"same IPv6 selectors",
        BASE
        "tunnels = ( { " TUNNEL_ENDS " local=[\"10.1.0.0/24\", \"2001:db8:1::/48\"]; "
        "remote=[\"2001:db8:2::/48\"]; },\n{ name=\"c\"; local_address=\"2001:db8::1\"; "
        "remote_address=\"2001:db8::2\"; local=[\"2001:db8:1::/48\"]; remote=[\"2001:db8:2::/48\"]; } );",
        "5: tunnel c: has local 2001:db8:1::/48 with remote 2001:db8:2::/48, as the tunnel in line 4", NULL},
    {"same transport ends",
        BASE "tunnels = ( { " TUNNEL_ENDS
             " mode=\"transport\"; },\n{ name=\"c\"; local_address=\"192.0.2.1\"; "
             "remote_address=\"192.0.2.2\"; mode=\"transport\"; } );",
        "5: tunnel c: has local 192.0.2.1/32 with remote 192.0.2.2/32, as the tunnel in line 4", NULL},
    {"same selectors",
        BASE
        "tunnels = ( { " TUNNEL_ENDS
        " local=[\"10.1.0.0/24\"]; remote=[\"10.2.0.0/24\", \"10.4.0.0/24\"]; },\n"
        "{ name=\"c\"; local_address=\"192.0.2.1\"; remote_address=\"192.0.2.3\"; local=[\"10.1.0.0/24\"]; "
        "remote=[\"10.3.0.0/24\", \"10.4.0.0/24\"]; } );",
        "5: tunnel c: has local 10.1.0.0/24 with remote 10.4.0.0/24, as the tunnel in line 4", NULL},
    {"half selectors", BASE "tunnels = ( { " TUNNEL_ENDS " local=[\"10.1.0.0/24\"]; } );",
        "4: tunnel b: has only one of local and remote", NULL},
    {"half selectors and routes",
        BASE "tunnels = ( { " TUNNEL_ENDS " remote=[\"10.2.0.0/24\"]; routes=[\"10.3.0.0/24\"]; } );",
        "4: tunnel b: has only one of local and remote", NULL},
    {"window", BASE "tunnels = ( { " TUNNEL_ENDS " replay_window=1000; } );",
        "4: tunnel b: replay_window is 1000, which is not a power of two; allowed is a power of two from 64 "
        "to "
        "8192",
        NULL},
    {"window range", BASE "tunnels = ( { " TUNNEL_ENDS " replay_window=16384; } );",
        "4: tunnel b: replay_window is 16384; allowed is a power of two from 64", NULL},
    // Policies.
    {"unknown tunnel", TUNNEL "policies = ( { action=\"protect\"; tunnel=\"c\"; } );",
        "5: policies[0]: tunnel is \"c\", which is no tunnel's name", NULL},
    {"protect without tunnel", TUNNEL "policies = ( { action=\"protect\"; } );",
        "5: policies[0]: protect has no tunnel", NULL},
    {"addresses of other hosts into a transport tunnel",
        BASE "tunnels = ( { " TUNNEL_ENDS " mode=\"transport\"; } );\n"
             "policies = ( { action=\"protect\"; tunnel=\"b\"; local=\"192.0.2.0/24\"; "
             "remote=\"192.0.2.2-192.0.2.3\"; } );",
        "5: policies[0]: local is not the tunnel's local_address; allowed with a tunnel of mode "
        "\"transport\" is \"192.0.2.1\" alone",
        "5: policies[0]: remote is not the tunnel's remote_address; allowed"},
    {"any address into a transport tunnel",
        BASE "tunnels = ( { " TUNNEL_ENDS " mode=\"transport\"; } );\n"
             "policies = ( { action=\"protect\"; tunnel=\"b\"; local=\"192.0.2.1\"; } );",
        "5: policies[0]: remote is not the tunnel's remote_address", NULL},
    {"bypass with tunnel", TUNNEL "policies = ( { action=\"bypass\"; tunnel=\"b\"; } );",
        "5: policies[0]: tunnel is given with action \"bypass\"", NULL},
    {"missing action", TUNNEL "policies = (\n{ tunnel=\"b\"; } );",
        "6: policies[0]: action is missing; allowed is \"protect\", \"bypass\" or \"discard\"", NULL},
    {"ports without protocol", TUNNEL "policies = ( { action=\"bypass\"; local_port=5; remote_port=6; } );",
        "5: policies[0]: local_port is given; allowed is a port with protocol",
        "5: policies[0]: remote_port is given; allowed is a port with protocol"},
    {"ports with ICMP", TUNNEL "policies = ( { action=\"bypass\"; protocol=\"icmp\"; local_port=\"5\"; } );",
        "5: policies[0]: local_port is given; allowed", NULL},
    {"reversed range", TUNNEL "policies = ( { action=\"bypass\"; protocol=\"udp\"; local_port=\"6-5\"; } );",
        "5: policies[0]: local_port is \"6-5\", of which the first port is greater than the last", NULL},
    {"port 0", TUNNEL "policies = ( { action=\"bypass\"; protocol=\"udp\"; local_port=\"0-5\"; } );",
        "5: policies[0]: local_port is \"0-5\", but there is no port 0", NULL},
    {"port number 0", TUNNEL "policies = ( { action=\"bypass\"; protocol=\"udp\"; local_port=0; } );",
        "5: policies[0]: local_port is 0; allowed is \"any\"", NULL},
    {"port 65536", TUNNEL "policies = ( { action=\"bypass\"; protocol=\"udp\"; remote_port=\"5-65536\"; } );",
        "5: policies[0]: remote_port is \"5-65536\"; allowed is \"any\"", NULL},
    {"open range", TUNNEL "policies = ( { action=\"bypass\"; protocol=\"udp\"; remote_port=\"5-\"; } );",
        "5: policies[0]: remote_port is \"5-\"; allowed is \"any\"", NULL},
    {"signed port", TUNNEL "policies = ( { action=\"bypass\"; protocol=\"udp\"; remote_port=\"-5\"; } );",
        "5: policies[0]: remote_port is \"-5\"; allowed is \"any\"", NULL},
    {"protocol", TUNNEL "policies = ( { action=\"bypass\"; protocol=\"tpc\"; } );",
        "5: policies[0]: protocol is \"tpc\"; allowed is \"any\", \"icmp\"", NULL},
    {"protocol number", TUNNEL "policies = ( { action=\"bypass\"; protocol=256; } );",
        "5: policies[0]: protocol is 256; allowed is", NULL},
    {"another action for the same packets",
        TUNNEL "policies = ( { action=\"bypass\"; protocol=\"udp\"; local=\"10.0.0.0/8\"; local_port=5; },\n"
               "{ action=\"bypass\"; protocol=\"tcp\"; local=\"10.0.0.0/8\"; local_port=5; },\n"
               "{ action=\"discard\"; protocol=17; local=\"10.0.0.0/8\"; local_port=\"5\"; } );",
        "7: policies[2]: has another action than policies[0] for the same packets; allowed is one policy",
        NULL},
    {"mixed policy",
        TUNNEL "policies = ( { action=\"bypass\"; local=\"10.0.0.0/8\"; remote=\"2001:db8::/32\"; } );",
        "5: policies[0]: mixes IPv4 and IPv6", NULL},
    {"mixed ranges",
        TUNNEL "policies = ( { action=\"bypass\"; local=\"10.0.0.1-10.0.0.9\"; "
               "remote=\"2001:db8::1-2001:db8::9\"; } );",
        "5: policies[0]: mixes IPv4 and IPv6", NULL},
    {"range of two families", TUNNEL "policies = ( { action=\"bypass\"; local=\"10.0.0.1-2001:db8::1\"; } );",
        "5: policies[0]: local is \"10.0.0.1-2001:db8::1\", which mixes IPv4 and IPv6; allowed is \"any\"",
        NULL},
    {"reversed addresses",
        TUNNEL "policies = ( { action=\"bypass\"; remote=\"2001:db8::2-2001:db8::1\"; } );",
        "5: policies[0]: remote is \"2001:db8::2-2001:db8::1\", of which the first address is greater", NULL},
    {"open addresses", TUNNEL "policies = ( { action=\"bypass\"; local=\"10.0.0.1-\"; } );",
        "5: policies[0]: local is \"10.0.0.1-\"; allowed is \"any\", a prefix", NULL},
    {"range of prefixes", TUNNEL "policies = ( { action=\"bypass\"; local=\"10.0.0.0/24-10.0.1.0/24\"; } );",
        "5: policies[0]: local is \"10.0.0.0/24-10.0.1.0/24\"; allowed is", NULL},
    {"long address",
        TUNNEL "policies = ( { action=\"bypass\"; "
               "local=\"00000000000000000000000000000000000000000000000010.0.0.1-10.0.0.2\"; } );",
        "5: policies[0]: local is \"0000", NULL},
    {"ICMP with IPv6",
        TUNNEL "policies = ( { action=\"bypass\"; protocol=\"icmp\"; remote=\"2001:db8::/32\"; } );",
        "5: policies[0]: protocol is \"icmp\" with IPv6 addresses; allowed with them is \"icmpv6\"", NULL},
    {"ICMPv6 with IPv4",
        TUNNEL "policies = ( { action=\"bypass\"; protocol=58; local=\"10.0.0.1-10.0.0.2\"; } );",
        "5: policies[0]: protocol is \"icmpv6\" with IPv4 addresses; allowed with them is \"icmp\"", NULL},
    {"ICMP type with UDP", TUNNEL "policies = ( { action=\"bypass\"; protocol=\"udp\"; icmp_type=8; } );",
        "5: policies[0]: icmp_type is given; allowed is a type with protocol \"icmp\" or \"icmpv6\" only",
        NULL},
    {"ICMP type instead of a port",
        TUNNEL "policies = ( { action=\"bypass\"; protocol=\"udp\"; local_port=53; icmp_type=\"any\"; } );",
        "5: policies[0]: icmp_type is given", NULL},
    {"any port with ICMP",
        TUNNEL "policies = ( { action=\"bypass\"; protocol=\"icmp\"; icmp_type=8; remote_port=\"any\"; } );",
        "5: policies[0]: remote_port is given", NULL},
    {"ICMP type 256", TUNNEL "policies = ( { action=\"bypass\"; protocol=\"icmp\"; icmp_type=256; } );",
        "5: policies[0]: icmp_type is 256; allowed is \"any\", a type from 0 to 255, types such as", NULL},
    {"ICMP code 256", TUNNEL "policies = ( { action=\"bypass\"; protocol=\"icmp\"; icmp_type=\"3/256\"; } );",
        "5: policies[0]: icmp_type is \"3/256\"; allowed", NULL},
    {"ICMP codes", TUNNEL "policies = ( { action=\"bypass\"; protocol=\"icmp\"; icmp_type=\"3/1-4\"; } );",
        "5: policies[0]: icmp_type is \"3/1-4\"; allowed", NULL},
    {"reversed ICMP types",
        TUNNEL "policies = ( { action=\"bypass\"; protocol=\"icmp\"; icmp_type=\"8-0\"; } );",
        "5: policies[0]: icmp_type is \"8-0\", of which the first type is greater than the last", NULL},
};

// The limit of a list is a column of the schema; that of the ports is the quickest to reach.
Test(config_faults, lists_have_limits)
{
	char text[256] = "ports = (\n", *errors;

	for (unsigned i = 0; i <= TD_PORTS_MAX; i++)
		strcat(text, i < TD_PORTS_MAX ? "{}," : "{} );");
	cr_expect_null(load(text, strlen(text), &errors));
	expect_line("ports", errors, "1: ports: has 17 elements; allowed is 16 at most");
	free(errors);
}

Test(config_faults, reports_each_fault_once_with_its_line)
{
	for (size_t i = 0; i < COUNT(faults); i++) {
		char *errors;
		struct td_config *config = load(faults[i].text, strlen(faults[i].text), &errors);

		cr_expect_null(config, "%s", faults[i].name);
		cr_expect_eq(count_lines(errors), faults[i].also ? 2 : 1, "%s: %s", faults[i].name, errors);
		expect_line(faults[i].name, errors, faults[i].expected);
		if (faults[i].also)
			expect_line(faults[i].name, errors, faults[i].also);
		td_config_free(config);
		free(errors);
	}
}
