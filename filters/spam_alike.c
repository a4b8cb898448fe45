/*
 * Domains that look like one of ours: letters put for others (digits, Cyrillic and Greek ones,
 * "rn" for "m"), one letter more, less or swapped, our name with a word hung on by a hyphen,
 * our whole domain as labels of another one. Compared is the label that was registered.
 */
#include <string.h>

#include "conf/words.h"
#include "filters/psl.h"
#include "filters/spam_evidence_priv.h"

enum {
	LABEL_MOST = 63,
	OWN_LEAST = 4,
	NEAR_LEAST = 5,
	FAR_LEAST = 10,
	HUNG_LEAST = 5,
	OWN_MOST =
		32, /* of our domains that are compared: a mail's time does not hang on them */
};

struct label {
	char p[LABEL_MOST * 2];
	size_t n;
};

/* One letter of ASCII for what looks like it; 0: nothing does. */
static char
looks_like(uint32_t u)
{
	static const struct {
		uint32_t u;
		char c;
	} like[] = {{0x430, 'a'}, {0x3b1, 'a'}, {0x251, 'a'}, {0x432, 'b'}, {0x441, 'c'},
		{0x501, 'd'}, {0x435, 'e'}, {0x451, 'e'}, {0x4bb, 'h'}, {0x456, 'i'},
		{0x457, 'i'}, {0x3b9, 'i'}, {0x131, 'i'}, {0x458, 'j'}, {0x43a, 'k'},
		{0x3ba, 'k'}, {0x4cf, 'l'}, {0x142, 'l'}, {0x43c, 'm'}, {0x3b7, 'n'},
		{0x578, 'n'}, {0x43f, 'n'}, {0x43e, 'o'}, {0x3bf, 'o'}, {0x3c3, 'o'},
		{0xf8, 'o'}, {0x440, 'p'}, {0x3c1, 'p'}, {0x51b, 'q'}, {0x433, 'r'},
		{0x455, 's'}, {0xdf, 's'}, {0x442, 't'}, {0x3c4, 't'}, {0x3c5, 'u'},
		{0x57d, 'u'}, {0x3bd, 'v'}, {0x475, 'v'}, {0x51d, 'w'}, {0x461, 'w'},
		{0x3c9, 'w'}, {0x445, 'x'}, {0x3c7, 'x'}, {0x443, 'y'}, {0x3b3, 'y'}};
	/* U+00E0 to U+00FF, U+0100 to U+017F: letters with marks on them. */
	static const char latin_1[] = "aaaaaaaceeeeiiiidnooooo/ouuuuypy";
	static const char latin_a[] =
		"aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkk"
		"lllllllllnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuu"
		"wwyyyzzzzzzs";
	for (size_t i = 0; i < sizeof(like) / sizeof(like[0]); i++)
		if (like[i].u == u)
			return like[i].c;
	if (u >= 0xe0 && u <= 0xff)
		return latin_1[u - 0xe0];
	if (u >= 0x100 && u - 0x100 < sizeof(latin_a) - 1)
		return latin_a[u - 0x100];
	return 0;
}

static uint32_t
adapt(uint32_t delta, uint32_t points, bool first)
{
	delta = first ? delta / 700 : delta / 2;
	delta += delta / points;
	uint32_t k = 0;
	for (; delta > 455; k += 36)
		delta /= 35;
	return k + 36 * delta / (delta + 38);
}

static int
digit(char c)
{
	if (ascii_digit(c))
		return c - '0' + 26;
	c = ascii_lower(c);
	return c >= 'a' && c <= 'z' ? c - 'a' : -1;
}

/* RFC 3492 6.2, behind "xn--". False: it is none. */
static bool
punycode(struct slice s, uint32_t out[LABEL_MOST], size_t *n_out)
{
	size_t basic = slice_find_last(s, '-'), n = 0;
	if (s.n > LABEL_MOST)
		return false;
	if (basic == s.n)
		basic = 0;
	while (n < basic) {
		out[n] = (unsigned char)s.p[n];
		n++;
	}
	uint32_t u = 128, i = 0, bias = 72;
	for (size_t at = basic > 0 ? basic + 1 : 0; at < s.n;) {
		uint32_t before = i, weight = 1;
		for (uint32_t k = 36;; k += 36) {
			int d = at < s.n ? digit(s.p[at++]) : -1;
			if (d < 0 || i > (1U << 25) || weight > (1U << 20))
				return false;
			i += (uint32_t)d * weight;
			uint32_t t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
			if ((uint32_t)d < t)
				break;
			weight *= 36 - t;
		}
		uint32_t points = (uint32_t)n + 1;
		bias = adapt(i - before, points, before == 0);
		u += i / points;
		i %= points;
		if (n == LABEL_MOST || u > 0x10ffff)
			return false;
		memmove(out + i + 1, out + i, (n - i) * sizeof(*out));
		out[i++] = u;
		n++;
	}
	*n_out = n;
	return true;
}

/* The label as it is read: look-alikes turned into ASCII; what has none into '?'. */
static void
plain(struct slice label, struct label *out)
{
	out->n = 0;
	uint32_t u[LABEL_MOST];
	size_t n;
	if (slice_starts_nocase(label, SLICE("xn--")) &&
		punycode(slice_from(label, 4), u, &n)) {
		for (size_t i = 0; i < n; i++) {
			char c = u[i] < 128 ? ascii_lower((char)u[i]) : looks_like(u[i]);
			out->p[out->n++] = c != 0 ? c : '?';
		}
		return;
	}
	for (size_t i = 0; i < label.n && i < LABEL_MOST; i++)
		out->p[out->n++] = ascii_lower(label.p[i]);
}

/* What the eye takes for one: digits for letters, hyphens gone, "rn" and "vv" joined. */
static void
skeleton(const struct label *in, struct label *out)
{
	out->n = 0;
	for (size_t i = 0; i < in->n; i++) {
		char c = in->p[i], next = i + 1 < in->n ? in->p[i + 1] : '\0';
		if (c == '-')
			continue;
		if ((c == 'r' && next == 'n') || (c == 'v' && next == 'v')) {
			c = c == 'r' ? 'm' : 'w';
			i++;
		}
		static const char from[] = "0134578i", to[] = "oleastbl";
		const char *at = memchr(from, c, sizeof(from) - 1);
		out->p[out->n++] = at != NULL ? to[at - from] : c;
	}
}

static struct slice
slice_of_label(const struct label *l)
{
	return (struct slice){l->p, l->n};
}

/* ours, with a word hung on: "example-support", "my-example". */
static bool
hung_on(struct slice label, struct slice ours)
{
	for (struct slice rest = label, word; rest.n > 0;) {
		bool more = slice_cut(rest, '-', &word, &rest);
		if (slice_eq(word, ours) && word.n < label.n)
			return true;
		if (!more)
			break;
	}
	return false;
}

/* What is declared is no public suffix: two labels are registered as they stand. */
static struct slice
own_registered(struct slice ours)
{
	size_t dot = slice_find(ours, '.');
	if (dot == slice_find_last(ours, '.'))
		return ours;
	struct slice org = psl_registrable(ours);
	return org.n != 0 ? org : ours;
}

/* A registered label in the forms that are compared. */
struct registered {
	struct slice org, label;
	struct label plain, bones;
	uint32_t letters; /* which there are, a bit each: a bound on how near two can be */
	bool strange;     /* it has letters that look like none of ASCII's */
};

static void
look_at(struct slice org, struct registered *out)
{
	out->org = org;
	slice_cut(org, '.', &out->label, &(struct slice){0});
	out->label = slice_first(out->label, LABEL_MOST);
	plain(out->label, &out->plain);
	skeleton(&out->plain, &out->bones);
	out->letters = 0;
	for (size_t i = 0; i < out->plain.n; i++)
		out->letters |= 1U << (unsigned char)out->plain.p[i] % 32;
	out->strange = memchr(out->plain.p, '?', out->plain.n) != NULL;
}

/* Whole among the labels of another name: "example.com.login.test". */
static bool
stands_in(struct slice host, struct slice own_org)
{
	size_t at = slice_find_slice(host, own_org), end = at + own_org.n;
	return at < host.n && (at == 0 || host.p[at - 1] == '.' || host.p[at - 1] == '-') &&
	       end < host.n && (host.p[end] == '.' || host.p[end] == '-');
}

/* By so many letters, put in, left out, changed or swapped, is it another name. */
static bool
is_near(const struct registered *a, const struct registered *own)
{
	unsigned near = own->label.n >= FAR_LEAST ? 2 : own->label.n >= NEAR_LEAST ? 1 : 0;
	size_t n = a->plain.n, n_own = own->plain.n;
	if (near == 0 || (n > n_own ? n - n_own : n_own - n) > near ||
		__builtin_popcount(a->letters ^ own->letters) > 2 * (int)near)
		return false;
	return words_distance(slice_of_label(&a->plain), slice_of_label(&own->plain)) <= near;
}

static double
one(struct slice host, const struct registered *a, const struct registered *own)
{
	if (stands_in(host, own->org))
		return 1;
	size_t n = own->label.n;
	if (n < OWN_LEAST || own->strange)
		return 0;
	/* under another suffix it is mostly somebody else's right */
	if (slice_eq(a->label, own->label))
		return n >= HUNG_LEAST ? 0.3 : 0;
	if (slice_eq(slice_of_label(&a->bones), slice_of_label(&own->bones)))
		return 1;
	if (n >= HUNG_LEAST && hung_on(slice_of_label(&a->plain), own->label))
		return 0.6;
	return is_near(a, own) ? 0.8 : 0;
}

bool
spam_is_own(const struct spam_world *w, struct slice host)
{
	for (size_t i = 0; i < w->n_own_domains; i++)
		if (domain_is_below(host, w->own_domains[i]) ||
			slice_eq_nocase(host, w->own_domains[i]))
			return true;
	return false;
}

double
spam_alike_below(struct slice host, struct slice org, const struct slice *own, size_t n_own,
	struct slice *which_out)
{
	double most = 0;
	struct registered a, b;
	if (org.n == 0)
		return 0;
	look_at(org, &a);
	for (size_t i = 0; i < n_own && i < OWN_MOST; i++) {
		struct slice own_org = own_registered(own[i]);
		if (slice_eq_nocase(own_org, org))
			return 0;
		look_at(own_org, &b);
		double alike = one(host, &a, &b);
		if (alike > most) {
			most = alike;
			*which_out = own[i];
		}
	}
	return most;
}

double
spam_alike(struct slice host, const struct slice *own, size_t n_own, struct slice *which_out)
{
	struct slice org = n_own > 0 ? psl_registrable(host) : SLICE_NONE;
	return spam_alike_below(host, org, own, n_own, which_out);
}
