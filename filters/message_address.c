/*
 * Address lists of the header. RFC 5322 3.4 with the groups of RFC 6854, and nothing that is
 * known to be read differently by another program (HDR-03): a display name is one thing, an
 * addr-spec another, and between the parts of an addr-spec stands nothing. One pass, no
 * recursion: comments nest by a counter.
 */
#include "filters/message.h"

#include <string.h>

struct list {
	struct slice in; /* what is left */
	bool smtputf8;
	struct arena *arena;
	struct address *items;
	size_t n, room;
	bool wants_names, lost_names; /* there are more of them than are kept */
	struct slice *names;
	size_t n_names, names_room;
};

enum { NAMES_MOST = 2 * MESSAGE_MAILBOXES_MOST };

static void
advance(struct list *l, size_t n)
{
	l->in = slice_from(l->in, n);
}

/* The next byte, or NUL at the end (a NUL in the list is refused before). */
static char
peek(const struct list *l)
{
	return l->in.n != 0 ? l->in.p[0] : '\0';
}

/* No controls but in folds, no 8-bit but where it may be: looked at once for the whole list. */
static bool
bytes_are_fine(struct slice s, bool smtputf8)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c >= 0x80 && !smtputf8)
			return false;
		if (c == '\r' && (i + 2 >= s.n || s.p[i + 1] != '\n' ||
					 strchr(" \t", s.p[i + 2]) == NULL))
			return false;
		if (c == '\n' && (i == 0 || s.p[i - 1] != '\r'))
			return false;
		if ((c < ' ' && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
			return false;
	}
	return true;
}

static void
skip_blanks(struct list *l)
{
	size_t n = 0;
	while (n < l->in.n && strchr(" \t\r\n", l->in.p[n]) != NULL)
		n++;
	advance(l, n);
}

static void
keep_name(struct list *l, struct slice text)
{
	if (l->n_names == NAMES_MOST) {
		l->lost_names = true;
		return;
	}
	if (l->n_names == l->names_room) {
		l->names_room = l->names_room != 0 ? l->names_room * 2 : 2;
		struct slice *names = arena_array(l->arena, l->names_room, sizeof(*names));
		if (l->n_names != 0)
			memcpy(names, l->names, l->n_names * sizeof(*names));
		l->names = names;
	}
	l->names[l->n_names++] = message_decode_words(text, l->arena);
}

/*
 * A display name, a group's, or the inside of a comment: quotes and folds are taken off. A
 * comment within a name has been one of its own.
 */
static void
add_name(struct list *l, struct slice raw, bool is_comment)
{
	size_t n = 0, depth = 0;
	bool quoted = false;
	raw = slice_trim(raw);
	if (!l->wants_names || raw.n == 0)
		return;
	char *text = arena_alloc(l->arena, raw.n);
	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];
		if (c == '\\' && i + 1 < raw.n) {
			c = raw.p[++i];
		} else if (c == '\r' || c == '\n') {
			continue;
		} else if (!is_comment && c == '"' && depth == 0) {
			quoted = !quoted;
			continue;
		} else if (!is_comment && !quoted && (c == '(' || c == ')')) {
			depth += c == '(' ? (size_t)1 : (size_t)-1;
			continue;
		}
		if (depth == 0)
			text[n++] = c;
	}
	struct slice name = slice_trim((struct slice){text, n});
	if (name.n != 0)
		keep_name(l, name);
}

/* False: the comment has no end. */
static bool
skip_comment(struct list *l)
{
	size_t depth = 0;
	for (size_t i = 0; i < l->in.n; i++) {
		char c = l->in.p[i];
		if (c == '\\')
			i++;
		else if (c == '(')
			depth++;
		else if (c == ')' && --depth == 0) {
			add_name(l, slice_first(slice_from(l->in, 1), i - 1), true);
			advance(l, i + 1);
			return true;
		}
	}
	return false;
}

static bool
skip_cfws(struct list *l)
{
	for (;;) {
		skip_blanks(l);
		if (peek(l) != '(')
			return true;
		if (!skip_comment(l))
			return false;
	}
}

/* Length of the quoted string at the front, 0: it has no end. */
static size_t
quoted_length(struct slice s)
{
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			return i + 1;
	}
	return 0;
}

/* Length of the run of atext and dots at the front. */
static size_t
atom_length(struct slice s)
{
	size_t n = 0;
	while (n < s.n && strchr(" \t\r\n()<>[]:;@\\,\"", s.p[n]) == NULL)
		n++;
	return n;
}

/* A domain or a literal behind '@'. */
static size_t
domain_length(struct slice s)
{
	if (s.n == 0 || s.p[0] != '[')
		return atom_length(s);
	size_t end = slice_find(s, ']');
	return end < s.n ? end + 1 : 0;
}

/* An encoded word, as some decode it inside an address too (HDR-03, espoofer A15). */
static bool
has_encoded_word(struct slice s)
{
	size_t at = slice_find_slice(s, SLICE("=?"));
	return at < s.n && slice_find_slice(slice_from(s, at), SLICE("?=")) < s.n - at;
}

static bool
add(struct list *l, struct slice spec)
{
	struct address one;
	if (l->n == MESSAGE_MAILBOXES_MOST || has_encoded_word(spec) ||
		address_parse(spec, l->smtputf8, l->arena, &one) != ADDRESS_OK)
		return false;
	if (l->n == l->room) {
		l->room = l->room != 0 ? l->room * 2 : 2;
		struct address *items = arena_array(l->arena, l->room, sizeof(*items));
		if (l->n != 0)
			memcpy(items, l->items, l->n * sizeof(*items));
		l->items = items;
	}
	l->items[l->n++] = one;
	return true;
}

/* "@domain" at the front belongs to the local part that stands right before it. */
static bool
take_addr_spec(struct list *l, struct slice from_local)
{
	size_t local = from_local.n - l->in.n;
	size_t domain = domain_length(slice_from(l->in, 1));
	advance(l, 1 + domain);
	return domain != 0 && add(l, slice_first(from_local, local + 1 + domain));
}

/* "<addr-spec>"; blanks right inside the brackets are passed over. */
static bool
take_angle(struct list *l)
{
	advance(l, 1);
	skip_blanks(l);
	struct slice start = l->in;
	size_t local = peek(l) == '"' ? quoted_length(l->in) : atom_length(l->in);
	advance(l, local);
	if (local == 0 || peek(l) != '@' || !take_addr_spec(l, start))
		return false;
	skip_blanks(l);
	if (peek(l) != '>')
		return false;
	advance(l, 1);
	return skip_cfws(l);
}

enum taken { TAKEN_BAD, TAKEN_MAILBOX, TAKEN_GROUP_NAME };

/*
 * A mailbox, or a group's name up to its colon. Words are passed until something tells what
 * they were: '@' a local part (the last word, alone), '<' a display name, ':' the name of a
 * group.
 */
static enum taken
take_one(struct list *l)
{
	size_t words = 0;
	struct slice begin = l->in;
	for (;;) {
		if (!skip_cfws(l))
			return TAKEN_BAD;
		struct slice start = l->in;
		size_t n = peek(l) == '"' ? quoted_length(l->in) : atom_length(l->in);
		if (n == 0)
			break;
		advance(l, n);
		words++;
		if (peek(l) == '@') {
			bool good = words == 1 && take_addr_spec(l, start) && skip_cfws(l);
			return good ? TAKEN_MAILBOX : TAKEN_BAD;
		}
	}
	if (words != 0)
		add_name(l, slice_first(begin, begin.n - l->in.n), false);
	if (peek(l) == '<')
		return take_angle(l) ? TAKEN_MAILBOX : TAKEN_BAD;
	if (peek(l) != ':' || words == 0)
		return TAKEN_BAD;
	advance(l, 1);
	return TAKEN_GROUP_NAME;
}

/* Mailboxes between ':' and ';', perhaps none. */
static bool
take_group(struct list *l)
{
	if (!skip_cfws(l))
		return false;
	while (peek(l) != ';') {
		if (take_one(l) != TAKEN_MAILBOX)
			return false;
		if (peek(l) == ',') {
			advance(l, 1);
			if (!skip_cfws(l) || peek(l) == ';')
				return false;
		} else if (peek(l) != ';') {
			return false;
		}
	}
	advance(l, 1);
	return skip_cfws(l);
}

static bool
take_list(struct list *l)
{
	if (!bytes_are_fine(l->in, l->smtputf8))
		return false;
	for (;;) {
		enum taken taken = take_one(l);
		if (taken == TAKEN_BAD || (taken == TAKEN_GROUP_NAME && !take_group(l)))
			return false;
		if (l->in.n == 0)
			return true;
		if (peek(l) != ',')
			return false;
		advance(l, 1);
	}
}

bool
message_addresses(struct slice value, bool smtputf8, struct arena *a,
	struct address **addresses_out, size_t *n_out)
{
	struct list l = {.in = slice_trim(value), .smtputf8 = smtputf8, .arena = a};
	bool ok = take_list(&l);
	*addresses_out = ok ? l.items : NULL;
	*n_out = ok ? l.n : 0;
	return ok;
}

bool
message_names(struct slice value, bool smtputf8, struct arena *a, struct slice **names_out,
	size_t *n_out)
{
	struct list l = {
		.in = slice_trim(value), .smtputf8 = smtputf8, .arena = a, .wants_names = true};
	bool ok = take_list(&l) && !l.lost_names;
	*names_out = ok ? l.names : NULL;
	*n_out = ok ? l.n_names : 0;
	return ok;
}
