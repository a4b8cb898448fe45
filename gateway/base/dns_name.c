/*
 * Domain names between text and wire (RFC 1035 3.1, 4.1.4). Answers come from whom a sender
 * chose: compression is followed backwards only, so that every name ends, and within 255
 * octets.
 */
#include <string.h>

#include "base/dns.h"

enum { LABEL_MOST = 63, POINTERS_MOST = 64 };

/* One octet of text, with \DDD; *at moves behind it. */
static uint8_t
dns_text_octet(struct slice s, size_t *at)
{
	size_t i = *at;
	if (s.p[i] == '\\' && s.n - i > 3 && ascii_digit(s.p[i + 1]) &&
		ascii_digit(s.p[i + 2]) && ascii_digit(s.p[i + 3])) {
		int v = (s.p[i + 1] - '0') * 100 + (s.p[i + 2] - '0') * 10 + (s.p[i + 3] - '0');
		if (v <= 255) {
			*at = i + 4;
			return (uint8_t)v;
		}
	}
	*at = i + 1;
	return (uint8_t)s.p[i];
}

bool
dns_name_to_wire(struct slice name, struct dns_wire *wire_out)
{
	struct dns_wire *w = wire_out;
	size_t start = 0, n = 1; /* of the length byte; of the next octet */
	*w = (struct dns_wire){0};
	if (name.n == 0)
		return false;
	for (size_t at = 0; at < name.n;) {
		bool dot = name.p[at] == '.';
		uint8_t octet = dns_text_octet(name, &at);
		size_t label = n - start - 1;
		if (dot && label == 0)
			return false;
		if (dot) {
			w->bytes[start] = (uint8_t)label;
			start = n++;
			continue;
		}
		/* The last octet is kept for the root. */
		if (label == LABEL_MOST || n >= DNS_WIRE_BYTES - 1)
			return false;
		w->bytes[n++] = octet;
	}
	w->bytes[start] = (uint8_t)(n - start - 1);
	if (w->bytes[start] != 0) {
		if (n >= DNS_WIRE_BYTES)
			return false;
		w->bytes[n++] = 0;
	}
	w->n = (uint8_t)n;
	return true;
}

bool
dns_name_ok(struct slice name)
{
	struct dns_wire w;
	return dns_name_to_wire(name, &w);
}

bool
dns_wire_read(struct slice packet, size_t at, struct dns_wire *wire_out, size_t *end_out)
{
	size_t n = 0, lowest = at, end = 0;
	int pointers = 0;
	*wire_out = (struct dns_wire){0};
	for (;;) {
		if (at >= packet.n)
			return false;
		uint8_t c = (uint8_t)packet.p[at];
		if (c >= 0xc0) {
			if (at + 1 >= packet.n)
				return false;
			size_t to = (size_t)(c & 0x3f) << 8 | (uint8_t)packet.p[at + 1];
			if (end == 0)
				end = at + 2;
			/* Forwards or to itself would not end; a long chain only costs. */
			if (to >= lowest || ++pointers > POINTERS_MOST)
				return false;
			at = lowest = to;
			continue;
		}
		if (c > LABEL_MOST || c + (size_t)1 > packet.n - at ||
			n + c + 1 > DNS_WIRE_BYTES)
			return false;
		memcpy(wire_out->bytes + n, packet.p + at, c + (size_t)1);
		n += c + (size_t)1;
		at += c + (size_t)1;
		if (c == 0)
			break;
	}
	wire_out->n = (uint8_t)n;
	*end_out = end != 0 ? end : at;
	return true;
}

bool
dns_wire_eq(const struct dns_wire *a, const struct dns_wire *b)
{
	if (a->n != b->n)
		return false;
	/* Length bytes are below 'A': folding does not touch them. */
	for (size_t i = 0; i < a->n; i++)
		if (ascii_lower((char)a->bytes[i]) != ascii_lower((char)b->bytes[i]))
			return false;
	return true;
}

struct slice
dns_wire_text(const struct dns_wire *wire, char buf[DNS_TEXT_BYTES])
{
	size_t n = 0;
	for (size_t at = 0; at < wire->n && wire->bytes[at] != 0;) {
		size_t end = at + 1 + wire->bytes[at];
		if (at != 0)
			buf[n++] = '.';
		for (at++; at < end; at++) {
			uint8_t c = wire->bytes[at];
			if (c > ' ' && c < 127 && c != '.' && c != '\\' && c != '"') {
				buf[n++] = (char)c;
				continue;
			}
			buf[n++] = '\\';
			buf[n++] = (char)('0' + c / 100);
			buf[n++] = (char)('0' + c / 10 % 10);
			buf[n++] = (char)('0' + c % 10);
		}
	}
	return (struct slice){buf, n};
}
