// SPDX-License-Identifier: BSD-3-Clause
// Sends IKE messages that begin something, from addresses of the range for benchmarks (RFC 2544): what a
// gateway meets that is attacked by somebody who forges his address.
//
//   flood INTERFACE SOURCE-MAC DESTINATION-MAC DESTINATION-ADDRESS PORT RATE SECONDS known|unknown MESSAGE
//
// MESSAGE is a first message of the one-round-trip exchange, in hexadecimal. Each one sent has another
// address, port, SPI and other bytes from its ephemeral key on; with "known" there is a responder's SPI, too,
// as if there were a session. Sends RATE messages a second for SECONDS (0: until SIGTERM) and prints {"sent",
// "failed", "seconds"}. Everything is sent behind the queues, so packet sockets on the interface do not see
// it.

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BURST 32
#define FRAME_MAX 1514
#define HEADERS (sizeof(struct ether_header) + sizeof(struct iphdr) + sizeof(struct udphdr))
#define NATT_PORT 4500
#define EPHEMERAL (28 + 4 + 4 + 8) // header, payload header, pattern, key id
#define NS_PER_S 1000000000ull

static volatile sig_atomic_t stopped;
static uint64_t state; // of the random numbers, which nobody has to be unable to guess

struct flood {
	int socket;
	bool known;
	uint32_t sources, source_mask;
	uint64_t rate, sent, failed;
	size_t marker; // bytes before the message
	size_t length; // of a frame
	uint8_t frames[BURST][FRAME_MAX];
	struct iovec parts[BURST];
	struct mmsghdr messages[BURST];
};

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

static uint64_t random_next(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static void random_fill(uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i += 8) {
		uint64_t random = random_next();

		memcpy(bytes + i, &random, length - i < 8 ? length - i : 8);
	}
}

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int fail(const char *what)
{
	(void)fprintf(stderr, "flood: %s\n", what);
	return -1;
}

// ---- frames -------------------------------------------------------------------------------------

static uint16_t ip_checksum(const struct iphdr *ip)
{
	const uint8_t *bytes = (const uint8_t *)ip;
	uint32_t sum = 0;

	for (size_t i = 0; i < sizeof(*ip); i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

// Another address, port and SPIi, and other bytes where the sender could have put anything.
static void frame_vary(struct flood *flood, uint8_t *frame)
{
	uint8_t *ip_at = frame + sizeof(struct ether_header), *udp_at = ip_at + sizeof(struct iphdr);
	uint8_t *message = udp_at + sizeof(struct udphdr) + flood->marker;
	uint64_t random = random_next();
	struct iphdr ip;
	struct udphdr udp;

	// Behind an Ethernet header they lie where these may not.
	memcpy(&ip, ip_at, sizeof(ip));
	memcpy(&udp, udp_at, sizeof(udp));
	ip.saddr = htonl(flood->sources | ((uint32_t)random & ~flood->source_mask));
	ip.check = 0;
	ip.check = ip_checksum(&ip);
	udp.source = htons((uint16_t)(1024 + (random >> 32) % 64000));
	memcpy(ip_at, &ip, sizeof(ip));
	memcpy(udp_at, &udp, sizeof(udp));
	random_fill(message, flood->known ? 16 : 8);
	random_fill(message + EPHEMERAL, flood->length - HEADERS - flood->marker - EPHEMERAL);
}

static int sources_read(struct flood *flood, const char *text)
{
	struct in_addr address;
	char copy[INET_ADDRSTRLEN];
	size_t length = strcspn(text, "/");
	unsigned bits = text[length] ? (unsigned)strtoul(text + length + 1, NULL, 10) : 32;

	if (length >= sizeof(copy) || bits == 0 || bits > 32)
		return fail("the sources are no network");
	memcpy(copy, text, length);
	copy[length] = 0;
	if (inet_pton(AF_INET, copy, &address) != 1)
		return fail("the sources are no network");
	flood->source_mask = ~0u << (32 - bits);
	flood->sources = ntohl(address.s_addr) & flood->source_mask;
	return 0;
}

static int frames_make(struct flood *flood, char **arguments, const uint8_t *message, size_t length)
{
	const struct ether_addr *address;
	struct ether_header ether = {.ether_type = htons(ETHERTYPE_IP)};
	struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP};
	struct udphdr udp = {.dest = htons((uint16_t)strtoul(arguments[5], NULL, 10))};

	flood->marker = ntohs(udp.dest) == NATT_PORT ? 4 : 0;
	flood->length = HEADERS + flood->marker + length;
	if (length < EPHEMERAL || flood->length > FRAME_MAX)
		return fail("the message is too short or too long");
	if (!(address = ether_aton(arguments[1])))
		return fail("the source is no MAC address");
	memcpy(ether.ether_shost, address, ETH_ALEN);
	if (!(address = ether_aton(arguments[2])))
		return fail("the destination is no MAC address");
	memcpy(ether.ether_dhost, address, ETH_ALEN);
	if (inet_pton(AF_INET, arguments[4], &ip.daddr) != 1)
		return fail("the destination is no IPv4 address");
	if (sources_read(flood, arguments[3]) < 0)
		return -1;
	ip.tot_len = htons((uint16_t)(flood->length - sizeof(ether)));
	udp.len = htons((uint16_t)(flood->length - sizeof(ether) - sizeof(ip)));
	for (unsigned i = 0; i < BURST; i++) {
		uint8_t *at = flood->frames[i];

		memcpy(at, &ether, sizeof(ether));
		memcpy(at + sizeof(ether), &ip, sizeof(ip));
		memcpy(at + sizeof(ether) + sizeof(ip), &udp, sizeof(udp));
		memcpy(at + HEADERS + flood->marker, message, length);
		flood->parts[i] = (struct iovec){at, flood->length};
		flood->messages[i].msg_hdr.msg_iov = &flood->parts[i];
		flood->messages[i].msg_hdr.msg_iovlen = 1;
	}
	return 0;
}

// ---- sending ------------------------------------------------------------------------------------

static int socket_open(const char *interface)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(interface)};
	int one = 1, fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) < 0) {
		perror("flood: packet socket");
		return -1;
	}
	return fd;
}

static void burst_send(struct flood *flood, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		frame_vary(flood, flood->frames[i]);
	while (count > 0 && !stopped) {
		int sent = sendmmsg(flood->socket, flood->messages, count, 0);

		if (sent > 0) {
			flood->sent += (uint64_t)sent;
			count -= (unsigned)sent;
		} else if (errno != EINTR) {
			flood->failed++;
			count--;
		}
	}
}

// What is late is made up for, but for no more than a tenth of a second.
static void run(struct flood *flood, uint64_t seconds)
{
	uint64_t start = now_ns(), end = seconds ? start + seconds * NS_PER_S : UINT64_MAX, done = 0;

	for (uint64_t now = start; !stopped && now < end; now = now_ns()) {
		uint64_t due = (uint64_t)((double)(now - start) / NS_PER_S * (double)flood->rate);

		if (due > done + flood->rate / 10)
			done = due - flood->rate / 10;
		if (due < done + BURST) {
			struct timespec pause = {.tv_nsec = 100000};

			(void)nanosleep(&pause, NULL);
			continue;
		}
		burst_send(flood, BURST);
		done += BURST;
	}
	(void)printf("{\"sent\": %llu, \"failed\": %llu, \"seconds\": %.3f}\n",
	    (unsigned long long)flood->sent, (unsigned long long)flood->failed,
	    (double)(now_ns() - start) / NS_PER_S);
}

static size_t hex_read(const char *text, uint8_t *bytes, size_t size)
{
	size_t length = 0;

	for (; text[0] && text[1] && length < size; text += 2) {
		char pair[3] = {text[0], text[1]};

		bytes[length++] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return *text ? 0 : length;
}

int main(int argc, char **argv)
{
	static struct flood flood;
	uint8_t message[FRAME_MAX];
	size_t length;

	if (argc != 11) {
		(void)fprintf(stderr,
		    "usage: flood INTERFACE SOURCE-MAC DESTINATION-MAC SOURCES/BITS DESTINATION "
		    "PORT RATE SECONDS known|unknown MESSAGE\n");
		return 2;
	}
	flood.rate = strtoull(argv[7], NULL, 10);
	flood.known = strcmp(argv[9], "known") == 0;
	length = hex_read(argv[10], message, sizeof(message));
	if (getrandom(&state, sizeof(state), 0) != sizeof(state) ||
	    frames_make(&flood, argv + 1, message, length) < 0 || (flood.socket = socket_open(argv[1])) < 0)
		return 1;
	(void)signal(SIGTERM, stop);
	run(&flood, strtoull(argv[8], NULL, 10));
	(void)close(flood.socket);
	return 0;
}
