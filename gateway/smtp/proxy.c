/*
 * The PROXY protocol; see proxy.h. Both versions first find where the header ends, and refuse
 * what can have no end within bounds; only then is anything inside it looked at.
 */
#include "smtp/proxy.h"

#include <netinet/in.h>
#include <string.h>

enum {
	V2_FIXED = 16,
	V2_VERSION = 0x20,
	V2_LOCAL = 0,
	V2_PROXY = 1,
	V2_UNSPEC = 0x00,
	V2_TCP4 = 0x11,
	V2_TCP6 = 0x21,
	V2_TLV_HEAD = 3,
};

static const char v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

static bool
read_port(struct slice s, uint16_t *port_out)
{
	uint64_t port;
	if (s.n > 5 || !slice_u64(s, &port) || port > UINT16_MAX || (s.n > 1 && s.p[0] == '0'))
		return false;
	*port_out = (uint16_t)port;
	return true;
}

/* Dotted decimal; leading zeros, which inet_pton refuses, are decimal too. */
static bool
read_ipv4(struct slice s, struct ip *ip_out)
{
	*ip_out = (struct ip){.family = 4};
	for (int i = 0; i < 4; i++) {
		struct slice part;
		uint64_t value;
		bool more = slice_cut(s, '.', &part, &s);
		if (more != (i < 3) || part.n > 3 || !slice_u64(part, &value) || value > 255)
			return false;
		ip_out->bytes[i] = (uint8_t)value;
	}
	return true;
}

static bool
read_address(struct slice s, bool v6, struct ip *ip_out)
{
	return v6 ? slice_has(s, ':') && ip_parse(s, ip_out) : read_ipv4(s, ip_out);
}

/* "PROXY TCP4 source destination port port", one space between each. */
static const char *
read_v1_line(struct slice line, struct proxy_header *h)
{
	struct slice words[6];
	size_t n = 0;
	bool more = true;
	for (; more && n < 6; n++)
		more = slice_cut(line, ' ', &words[n], &line);
	if (n >= 2 && slice_eq(words[1], SLICE("UNKNOWN"))) {
		h->local = true;
		return NULL;
	}
	bool v6 = n >= 2 && slice_eq(words[1], SLICE("TCP6"));
	if (n < 2 || (!v6 && !slice_eq(words[1], SLICE("TCP4"))))
		return "the protocol is none of TCP4, TCP6, UNKNOWN";
	if (n < 6)
		return "words are missing";
	if (!read_address(words[2], v6, &h->src) || !read_address(words[3], v6, &h->dst))
		return "bad address";
	if (more)
		return "more than six words";
	if (!read_port(words[4], &h->src_port) || !read_port(words[5], &h->dst_port))
		return "bad port";
	return NULL;
}

static enum proxy_result
parse_v1(struct slice in, struct proxy_header *h, const char **why)
{
	struct slice crlf = SLICE("\r\n");
	struct slice head = slice_first(in, PROXY_V1_BYTES_MOST);
	size_t end = slice_find_slice(head, crlf);
	struct slice line = slice_first(head, end);
	struct slice open = line; /* without a CR that may be the first half of the end */
	if (end == head.n && slice_ends(line, SLICE("\r")))
		open.n--;
	*why = "bare CR, bare LF or NUL in the header";
	if (slice_has(open, '\r') || slice_has(open, '\n') || slice_has(open, '\0'))
		return PROXY_BAD;
	*why = "the header has no end";
	if (end == head.n)
		return head.n < PROXY_V1_BYTES_MOST ? PROXY_MORE : PROXY_BAD;
	h->taken = end + crlf.n;
	*why = read_v1_line(line, h);
	return *why == NULL ? PROXY_DONE : PROXY_BAD;
}

static unsigned
read_u16(const char *p)
{
	const unsigned char *b = (const unsigned char *)p;
	return (unsigned)b[0] << 8 | b[1];
}

/* One end of the connection: an address at `address`, its port at `port`. */
static void
read_v2_end(
	const char *address, const char *port, bool v6, struct ip *ip_out, uint16_t *port_out)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	struct sockaddr_in in4 = {.sin_family = AF_INET};
	if (v6) {
		memcpy(&in6.sin6_addr, address, sizeof(in6.sin6_addr));
		memcpy(&in6.sin6_port, port, sizeof(in6.sin6_port));
		ip_from_sockaddr((const struct sockaddr *)&in6, ip_out, port_out);
	} else {
		memcpy(&in4.sin_addr, address, sizeof(in4.sin_addr));
		memcpy(&in4.sin_port, port, sizeof(in4.sin_port));
		ip_from_sockaddr((const struct sockaddr *)&in4, ip_out, port_out);
	}
}

/* Type, length, value, to the end and not beyond; what they tell is not used. */
static bool
are_tlvs(struct slice s)
{
	while (s.n > 0) {
		if (s.n < V2_TLV_HEAD)
			return false;
		size_t bytes = V2_TLV_HEAD + read_u16(s.p + 1);
		if (bytes > s.n)
			return false;
		s = slice_from(s, bytes);
	}
	return true;
}

static enum proxy_result
parse_v2(struct slice in, struct proxy_header *h, const char **why)
{
	if (in.n < V2_FIXED)
		return PROXY_MORE;
	unsigned char version_command = (unsigned char)in.p[12],
		      family = (unsigned char)in.p[13];
	unsigned command = version_command & 0x0fu;
	size_t bytes = read_u16(in.p + 14);
	*why = "version or command not known";
	if ((version_command & 0xf0u) != V2_VERSION || command > V2_PROXY)
		return PROXY_BAD;
	*why = "the header is too long";
	if (V2_FIXED + bytes > PROXY_V2_BYTES_MOST)
		return PROXY_BAD;
	if (in.n < V2_FIXED + bytes)
		return PROXY_MORE;
	h->taken = V2_FIXED + bytes;
	h->local = command == V2_LOCAL || family == V2_UNSPEC;
	if (h->local)
		return PROXY_DONE;
	struct slice rest = slice_first(slice_from(in, V2_FIXED), bytes);
	size_t addresses = family == V2_TCP6 ? 2 * 16 + 4 : 2 * 4 + 4;
	*why = "not a TCP connection over IPv4 or IPv6";
	if (family != V2_TCP4 && family != V2_TCP6)
		return PROXY_BAD;
	*why = "too short for its addresses";
	if (rest.n < addresses)
		return PROXY_BAD;
	*why = "what stands behind the addresses is cut";
	if (!are_tlvs(slice_from(rest, addresses)))
		return PROXY_BAD;
	bool v6 = family == V2_TCP6;
	size_t bytes_of_one = v6 ? 16 : 4;
	const char *ports = rest.p + 2 * bytes_of_one;
	read_v2_end(rest.p, ports, v6, &h->src, &h->src_port);
	read_v2_end(rest.p + bytes_of_one, ports + 2, v6, &h->dst, &h->dst_port);
	return PROXY_DONE;
}

/* As far as both go. */
static bool
begins_alike(struct slice in, struct slice start)
{
	return slice_starts(in, slice_first(start, in.n));
}

enum proxy_result
proxy_parse(struct slice in, struct proxy_header *h_out, const char **why_out)
{
	struct slice v1 = SLICE("PROXY "), v2 = {v2_signature, sizeof(v2_signature) - 1};
	const char *why = "no PROXY header";
	*h_out = (struct proxy_header){0};
	enum proxy_result result = PROXY_BAD;
	if (begins_alike(in, v1))
		result = in.n < v1.n ? PROXY_MORE : parse_v1(in, h_out, &why);
	else if (begins_alike(in, v2))
		result = parse_v2(in, h_out, &why);
	if (result != PROXY_DONE)
		*h_out = (struct proxy_header){0};
	if (why_out != NULL)
		*why_out = result == PROXY_BAD ? why : NULL;
	return result;
}

static void
write_u16(unsigned value, char *to)
{
	to[0] = (char)(value >> 8);
	to[1] = (char)(value & 0xff);
}

size_t
proxy_write(const struct proxy_header *h, char out[PROXY_WRITTEN_MOST])
{
	bool local = h->local || h->src.family == 0, v6 = h->src.family == 6;
	size_t one = v6 ? 16 : 4, bytes = local ? 0 : 2 * one + 4;
	memset(out, 0, PROXY_WRITTEN_MOST);
	memcpy(out, v2_signature, sizeof(v2_signature) - 1);
	out[12] = (char)(V2_VERSION | (local ? V2_LOCAL : V2_PROXY));
	write_u16((unsigned)bytes, out + 14);
	if (local)
		return V2_FIXED;
	out[13] = v6 ? V2_TCP6 : V2_TCP4;
	char *addresses = out + V2_FIXED, *ports = addresses + 2 * one;
	memcpy(addresses, h->src.bytes, one);
	if (h->dst.family == h->src.family)
		memcpy(addresses + one, h->dst.bytes, one);
	write_u16(h->src_port, ports);
	write_u16(h->dst_port, ports + 2);
	return V2_FIXED + bytes;
}
