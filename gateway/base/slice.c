/*
 * Borrowed bytes: comparing, cutting and searching; see slice.h. Nothing here knows of an end
 * marked by NUL, which a mail may hold anywhere.
 */
#include "base/slice.h"

#include <string.h>
#include <sys/random.h>

#include "base/must.h"

struct slice
slice_of(const char *text)
{
	return text != NULL ? (struct slice){text, strlen(text)} : SLICE_NONE;
}

bool
slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
slice_eq_nocase(struct slice a, struct slice b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	return true;
}

int
slice_cmp(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n != 0 ? memcmp(a.p, b.p, n) : 0;
	return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

bool
slice_starts(struct slice s, struct slice prefix)
{
	return slice_eq(slice_first(s, prefix.n), prefix);
}

bool
slice_starts_nocase(struct slice s, struct slice prefix)
{
	return slice_eq_nocase(slice_first(s, prefix.n), prefix);
}

bool
slice_ends(struct slice s, struct slice suffix)
{
	return s.n >= suffix.n && slice_eq(slice_from(s, s.n - suffix.n), suffix);
}

bool
slice_ends_nocase(struct slice s, struct slice suffix)
{
	return s.n >= suffix.n && slice_eq_nocase(slice_from(s, s.n - suffix.n), suffix);
}

struct slice
slice_first(struct slice s, size_t n)
{
	return (struct slice){s.p, n < s.n ? n : s.n};
}

struct slice
slice_from(struct slice s, size_t at)
{
	return at < s.n ? (struct slice){s.p + at, s.n - at} : SLICE_NONE;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice
slice_trim(struct slice s)
{
	while (s.n > 0 && is_blank(s.p[0]))
		s = slice_from(s, 1);
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

size_t
slice_find(struct slice s, char c)
{
	const char *at = s.n != 0 ? memchr(s.p, c, s.n) : NULL;
	return at != NULL ? (size_t)(at - s.p) : s.n;
}

size_t
slice_find_last(struct slice s, char c)
{
	const char *at = s.n != 0 ? memrchr(s.p, c, s.n) : NULL;
	return at != NULL ? (size_t)(at - s.p) : s.n;
}

/* memmem prepares for long texts, at more than a host name or a header field costs. */
static size_t
find_in_short(struct slice s, struct slice needle)
{
	for (size_t i = 0; i + needle.n <= s.n; i++) {
		const char *at = memchr(s.p + i, needle.p[0], s.n - needle.n - i + 1);
		if (at == NULL)
			break;
		if (memcmp(at, needle.p, needle.n) == 0)
			return (size_t)(at - s.p);
		i = (size_t)(at - s.p);
	}
	return s.n;
}

size_t
slice_find_slice(struct slice s, struct slice needle)
{
	enum { SHORT = 128 }; /* bounds what a repetitive text costs, too */
	if (needle.n == 0)
		return 0;
	if (s.n <= SHORT)
		return find_in_short(s, needle);
	const char *at = s.n != 0 ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
	return at != NULL ? (size_t)(at - s.p) : s.n;
}

bool
slice_has(struct slice s, char c)
{
	return slice_find(s, c) < s.n;
}

bool
slice_cut(struct slice in, char c, struct slice *head_out, struct slice *rest_out)
{
	size_t at = slice_find(in, c);
	*head_out = slice_first(in, at);
	*rest_out = slice_from(in, at + 1);
	return at < in.n;
}

bool
slice_u64(struct slice s, uint64_t *value_out)
{
	uint64_t v = 0;
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_digit(s.p[i]) || __builtin_mul_overflow(v, 10u, &v) ||
			__builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
			return false;
	}
	*value_out = v;
	return true;
}

/*
 * SipHash-1-3 (Aumasson, Bernstein): keys come from peers, so the order in a map must not be
 * theirs to choose.
 */
struct sip {
	uint64_t v[4];
};

static uint64_t
rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static void
sip_round(struct sip *s)
{
	uint64_t *v = s->v;
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

static const uint64_t *
sip_key(void)
{
	static uint64_t key[2];
	static bool made;
	if (!made) {
		must(getrandom(key, sizeof(key), 0) == (ssize_t)sizeof(key));
		made = true;
	}
	return key;
}

static uint64_t
sip_hash(struct slice s, bool fold)
{
	const uint64_t *k = sip_key();
	struct sip h = {{k[0] ^ 0x736f6d6570736575u, k[1] ^ 0x646f72616e646f6du,
		k[0] ^ 0x6c7967656e657261u, k[1] ^ 0x7465646279746573u}};
	uint64_t m = 0;
	for (size_t i = 0; i < s.n; i++) {
		char c = fold ? ascii_lower(s.p[i]) : s.p[i];
		m |= (uint64_t)(unsigned char)c << (8 * (i % 8));
		if (i % 8 == 7) {
			h.v[3] ^= m;
			sip_round(&h);
			h.v[0] ^= m;
			m = 0;
		}
	}
	m |= (uint64_t)s.n << 56;
	h.v[3] ^= m;
	sip_round(&h);
	h.v[0] ^= m;
	h.v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(&h);
	return h.v[0] ^ h.v[1] ^ h.v[2] ^ h.v[3];
}

uint64_t
slice_hash(struct slice s)
{
	return sip_hash(s, false);
}

uint64_t
slice_hash_nocase(struct slice s)
{
	return sip_hash(s, true);
}
