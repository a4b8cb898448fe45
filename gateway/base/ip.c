/*
 * IP addresses and networks; see ip.h. Mapped addresses (::ffff:0:0/96) become the IPv4 that
 * they are, so that no rule and no list is passed by writing an address otherwise.
 */
#include "base/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/must.h"

static void
unmap(struct ip *ip)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	if (ip->family != 6 || memcmp(ip->bytes, mapped, sizeof(mapped)) != 0)
		return;
	memmove(ip->bytes, ip->bytes + 12, 4);
	memset(ip->bytes + 4, 0, 12);
	ip->family = 4;
}

bool
ip_parse(struct slice text, struct ip *ip_out)
{
	char z[INET6_ADDRSTRLEN];
	if (text.n == 0 || text.n >= sizeof(z) || slice_has(text, '\0'))
		return false;
	memcpy(z, text.p, text.n);
	z[text.n] = '\0';
	struct ip ip = {.family = slice_has(text, ':') ? 6 : 4};
	if (inet_pton(ip.family == 6 ? AF_INET6 : AF_INET, z, ip.bytes) != 1)
		return false;
	unmap(&ip);
	*ip_out = ip;
	return true;
}

static uint8_t
ip_bits(const struct ip *ip)
{
	return ip->family == 6 ? 128 : 32;
}

static bool
bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;
	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

bool
ip_net_parse(struct slice text, struct ip_net *net_out)
{
	struct slice address, prefix;
	struct ip_net net;
	bool has_prefix = slice_cut(text, '/', &address, &prefix);
	if (!ip_parse(address, &net.ip))
		return false;
	uint64_t bits = ip_bits(&net.ip);
	if (has_prefix &&
		(prefix.n > 3 || !slice_u64(prefix, &bits) || bits > ip_bits(&net.ip)))
		return false;
	net.prefix = (uint8_t)bits;
	for (unsigned bit = net.prefix; bit < ip_bits(&net.ip); bit++)
		if ((net.ip.bytes[bit / 8] >> (7 - bit % 8) & 1) != 0)
			return false;
	*net_out = net;
	return true;
}

bool
ip_in_net(const struct ip *ip, const struct ip_net *net)
{
	return ip->family != 0 && ip->family == net->ip.family &&
	       bits_equal(ip->bytes, net->ip.bytes, net->prefix);
}

bool
ip_in_nets(const struct ip *ip, const struct ip_net *nets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ip_in_net(ip, &nets[i]))
			return true;
	return false;
}

bool
ip_eq(const struct ip *a, const struct ip *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, ip_bits(a) / 8) == 0;
}

bool
ip_is_loopback(const struct ip *ip)
{
	static const uint8_t one[16] = {[15] = 1};
	if (ip->family == 4)
		return ip->bytes[0] == 127;
	return ip->family == 6 && memcmp(ip->bytes, one, sizeof(one)) == 0;
}

struct slice
ip_text(const struct ip *ip, char buf[IP_TEXT_BYTES])
{
	if (ip->family == 0)
		return SLICE("local");
	must(inet_ntop(ip->family == 6 ? AF_INET6 : AF_INET, ip->bytes, buf, IP_TEXT_BYTES) !=
		NULL);
	return slice_of(buf);
}

struct slice
ip_literal(const struct ip *ip, struct arena *a)
{
	char text[IP_TEXT_BYTES];
	struct slice s = ip_text(ip, text);
	return arena_printf(a, ip->family == 6 ? "[IPv6:%.*s]" : "[%.*s]", SLICE_ARG(s));
}

struct slice
ip_reverse(const struct ip *ip, struct slice suffix, struct arena *a)
{
	const uint8_t *b = ip->bytes;
	if (ip->family != 6)
		return arena_printf(
			a, "%u.%u.%u.%u.%.*s", b[3], b[2], b[1], b[0], SLICE_ARG(suffix));
	char text[64 + 1] = {0};
	static const char hex[] = "0123456789abcdef";
	for (int i = 0; i < 16; i++) {
		text[4 * i] = hex[b[15 - i] & 15];
		text[4 * i + 1] = '.';
		text[4 * i + 2] = hex[b[15 - i] >> 4];
		text[4 * i + 3] = '.';
	}
	return arena_printf(a, "%s%.*s", text, SLICE_ARG(suffix));
}

struct slice
ip_arpa(const struct ip *ip, struct arena *a)
{
	return ip_reverse(ip, ip->family == 6 ? SLICE("ip6.arpa") : SLICE("in-addr.arpa"), a);
}

void
ip_from_sockaddr(const struct sockaddr *sa, struct ip *ip_out, uint16_t *port_out)
{
	*ip_out = (struct ip){0};
	*port_out = 0;
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, sa, sizeof(in));
		ip_out->family = 4;
		memcpy(ip_out->bytes, &in.sin_addr, 4);
		*port_out = ntohs(in.sin_port);
	} else if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in;
		memcpy(&in, sa, sizeof(in));
		ip_out->family = 6;
		memcpy(ip_out->bytes, &in.sin6_addr, 16);
		*port_out = ntohs(in.sin6_port);
		unmap(ip_out);
	}
}

socklen_t
ip_to_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (ip->family == 6) {
		struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
		memcpy(&in.sin6_addr, ip->bytes, 16);
		memcpy(out, &in, sizeof(in));
		return sizeof(in);
	}
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	memcpy(&in.sin_addr, ip->bytes, 4);
	memcpy(out, &in, sizeof(in));
	return sizeof(in);
}
