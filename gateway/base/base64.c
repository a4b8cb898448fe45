/*
 * Base64; see base64.h. Strict where it decodes: AUTH and DKIM keys come from strangers, and
 * two decoders that differ are two readings of one text (RFC 4648 section 4).
 */
#include "base/base64.h"

#include "base/must.h"

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

struct slice
base64_encode(struct slice in, struct arena *a)
{
	char *out = arena_alloc(a, (in.n + 2) / 3 * 4 + 1);
	size_t n = 0;
	for (size_t i = 0; i < in.n; i += 3) {
		uint32_t v = 0;
		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (i + k < in.n ? (unsigned char)in.p[i + k] : 0u);
		for (size_t k = 0; k < 4; k++)
			out[n++] = i + k <= in.n ? alphabet[v >> (18 - 6 * k) & 63] : '=';
	}
	return (struct slice){out, n};
}

static int
value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (ascii_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool
is_fws(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
decode(struct slice in, bool fws, struct arena *a, struct slice *out)
{
	char *to = arena_alloc(a, in.n / 4 * 3 + 4);
	size_t n = 0, digits = 0, pads = 0;
	uint32_t v = 0;
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		if (fws && is_fws(c))
			continue;
		if (c == '=') {
			pads++;
			continue;
		}
		int d = value_of(c);
		if (d < 0 || pads != 0)
			return false;
		v = v << 6 | (uint32_t)d;
		digits++;
		if (digits % 4 == 0) {
			to[n++] = (char)(v >> 16 & 255);
			to[n++] = (char)(v >> 8 & 255);
			to[n++] = (char)(v & 255);
		}
	}
	size_t rest = digits % 4;
	if (rest == 1 || pads != (rest == 0 ? 0 : 4 - rest))
		return false;
	if (rest == 2) {
		if ((v & 15) != 0)
			return false;
		to[n++] = (char)(v >> 4 & 255);
	} else if (rest == 3) {
		if ((v & 3) != 0)
			return false;
		to[n++] = (char)(v >> 10 & 255);
		to[n++] = (char)(v >> 2 & 255);
	}
	*out = (struct slice){to, n};
	return true;
}

bool
base64_decode(struct slice in, struct arena *a, struct slice *out)
{
	return decode(in, false, a, out);
}

bool
base64_decode_fws(struct slice in, struct arena *a, struct slice *out)
{
	return decode(in, true, a, out);
}
