/*
 * How words of a remote are compared with the rules (failure.c): cleaned once, then each
 * pattern is looked for from the left. A hostile reply costs one pass for each pattern and no
 * more.
 */
#include <string.h>

#include "base/ip.h"
#include "delivery/failure_priv.h"

static bool
ends_address(char c)
{
	return (unsigned char)c <= ' ' || memchr("<>()[]{},;:\"'", c, 13) != NULL;
}

/* The bytes of an IP address that words begin with; 0: none. */
static size_t
address_bytes(struct slice words)
{
	size_t n = 0, seps = 0;
	while (n < words.n && n < 46 &&
		(ascii_hex(words.p[n]) >= 0 || words.p[n] == '.' || words.p[n] == ':')) {
		seps += ascii_hex(words.p[n]) < 0;
		n++;
	}
	while (n > 0 && (words.p[n - 1] == '.' || words.p[n - 1] == ':')) {
		seps--;
		n--;
	}
	struct ip ip;
	if (seps < 2 || (n < words.n && failure_in_a_word(words.p[n])))
		return 0;
	return ip_parse(slice_first(words, n), &ip) ? n : 0;
}

struct slice
failure_clean(struct slice words, char *out, size_t room)
{
	size_t n = 0;
	words = slice_first(words, FAILURE_WORDS_MOST);
	for (size_t i = 0; i < words.n && n < room; i++) {
		char c = words.p[i];
		bool begins = i == 0 || !failure_in_a_word(words.p[i - 1]);
		size_t address = begins ? address_bytes(slice_from(words, i)) : 0;
		if (address > 0) {
			out[n++] = '%';
			i += address - 1;
		} else if ((unsigned char)c <= ' ') {
			if (n > 0 && out[n - 1] != ' ')
				out[n++] = ' ';
		} else if (c == '@') {
			while (n > 0 && !ends_address(out[n - 1]))
				n--;
			out[n++] = '@';
			while (i + 1 < words.n && !ends_address(words.p[i + 1]))
				i++;
		} else {
			out[n++] = ascii_lower(c);
		}
	}
	return (struct slice){out, n};
}

/* The bytes of a URL, or of a host's name of three labels or more, at `at`; 0: none. */
static size_t
name_bytes(struct slice words, size_t at)
{
	size_t n = 0, dots = 0;
	bool url = slice_starts(slice_from(words, at), SLICE("http"));
	while (at + n < words.n && !ends_address(words.p[at + n]) && words.p[at + n] != ':')
		dots += words.p[at + n++] == '.';
	struct slice rest = slice_from(words, at + n);
	if (url && slice_starts(rest, SLICE("://"))) {
		n++;
		while (at + n < words.n &&
			(!ends_address(words.p[at + n]) || words.p[at + n] == ':'))
			n++;
		return n;
	}
	struct slice name = slice_first(slice_from(words, at), n);
	bool full_stop = n > 0 && name.p[n - 1] == '.';
	return dots - full_stop >= 2 && slice_find_slice(name, SLICE("..")) >= n ? n : 0;
}

/* What Postfix puts in front of the reason of a restriction or of a policy server: that it was
 * found out at RCPT does not make it the recipient's.
 */
static const struct slice prefix = SLICE("recipient address rejected: ");

struct slice
failure_without_names(struct slice words, char *out)
{
	size_t n = 0;
	for (size_t i = 0; i < words.n; i++) {
		if (slice_starts(slice_from(words, i), prefix) && i + prefix.n < words.n) {
			i += prefix.n - 1;
			continue;
		}
		bool begins = failure_in_a_word(words.p[i]) &&
			      (i == 0 || ends_address(words.p[i - 1]));
		size_t name = begins ? name_bytes(words, i) : 0;
		if (name > 0) {
			out[n++] = '~';
			i += name - 1;
		} else {
			out[n++] = words.p[i];
		}
	}
	return (struct slice){out, n};
}

/* Where the piece begins, or words.n; the first one begins where a word does. */
static size_t
find_piece(struct slice words, struct slice piece, bool at_word)
{
	for (size_t from = 0;;) {
		size_t at = from + slice_find_slice(slice_from(words, from), piece);
		if (at >= words.n || !at_word || at == 0 || !failure_in_a_word(piece.p[0]) ||
			!failure_in_a_word(words.p[at - 1]))
			return at;
		from = at + 1;
	}
}

bool
failure_words_fit(struct slice pattern, struct slice words)
{
	bool first = true;
	for (bool more = true; more; first = false) {
		struct slice piece;
		more = slice_cut(pattern, '*', &piece, &pattern);
		if (piece.n == 0)
			continue;
		size_t at = find_piece(words, piece, first);
		if (at >= words.n)
			return false;
		words = slice_from(words, at + piece.n);
	}
	return true;
}

bool
failure_host_fits(struct slice pattern, struct slice host)
{
	struct slice piece;
	if (!slice_cut(pattern, '*', &piece, &pattern))
		return slice_eq(piece, host);
	if (!slice_starts(host, piece))
		return false;
	host = slice_from(host, piece.n);
	while (slice_cut(pattern, '*', &piece, &pattern)) {
		size_t at = slice_find_slice(host, piece);
		if (piece.n != 0 && at >= host.n)
			return false;
		host = slice_from(host, at + piece.n);
	}
	return slice_ends(host, piece);
}
