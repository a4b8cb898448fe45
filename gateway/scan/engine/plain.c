/*
 * A header of a plain text; see plain.h. It is read as narrowly as can be: a field that begins
 * with "Content-" has one of a few values, to the letter, and stands once; every line is a
 * field or goes on one that does not matter. A mail that another reader could take otherwise is
 * none.
 */
#include "engine/plain.h"

enum seen { TYPE = 1, ENCODING = 2, SUBJECT = 4 };

static bool
is_one(struct slice value, const struct slice *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (slice_eq_nocase(value, values[i]))
			return true;
	return false;
}

#define TEXT(literal)                        \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

static bool
content_field(struct slice name, struct slice value, unsigned *seen)
{
	static const struct slice types[] = {TEXT("text/plain"),
		TEXT("text/plain; charset=utf-8"), TEXT("text/plain; charset=us-ascii"),
		TEXT("text/plain; charset=\"utf-8\""),
		TEXT("text/plain; charset=\"us-ascii\"")};
	static const struct slice encodings[] = {TEXT("7bit"), TEXT("8bit")};
	unsigned which = slice_eq_nocase(name, SLICE("Content-Type"))                ? TYPE
			 : slice_eq_nocase(name, SLICE("Content-Transfer-Encoding")) ? ENCODING
										     : 0;
	if (which == 0 || (*seen & which) != 0)
		return false;
	*seen |= which;
	return which == TYPE ? is_one(value, types, sizeof(types) / sizeof(types[0]))
			     : is_one(value, encodings, 2);
}

/* RFC 5322: printable characters but the colon. */
static bool
is_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return s.n != 0;
}

static bool
field(struct slice line, unsigned *seen, struct slice *subject_out)
{
	struct slice name, value;
	if (!slice_cut(line, ':', &name, &value) || !is_name(name))
		return false;
	value = slice_trim(value);
	if (slice_starts_nocase(name, SLICE("Content-")))
		return content_field(name, value, seen);
	if (!slice_eq_nocase(name, SLICE("Subject")))
		return true;
	if ((*seen & SUBJECT) != 0 || slice_find_slice(value, SLICE("=?")) < value.n)
		return false;
	*seen |= SUBJECT;
	*subject_out = value;
	return true;
}

/* Whether the field that a line goes on from is looked at. */
static bool
matters(struct slice line)
{
	return slice_starts_nocase(line, SLICE("Content-")) ||
	       slice_starts_nocase(line, SLICE("Subject"));
}

bool
plain_mail(struct slice mail, struct slice *subject_out, struct slice *body_out)
{
	struct slice before = SLICE_NONE;
	unsigned seen = 0;
	*subject_out = SLICE_NONE;
	while (mail.n != 0) {
		size_t end = slice_find(mail, '\n');
		struct slice line = slice_first(mail, end);
		if (end == mail.n || line.n == 0 || line.p[line.n - 1] != '\r')
			return false;
		line.n--;
		mail = slice_from(mail, end + 1);
		if (line.n == 0) {
			*body_out = mail;
			return true;
		}
		if (slice_has(line, '\0') || slice_has(line, '\r'))
			return false;
		if (line.p[0] == ' ' || line.p[0] == '\t') {
			if (before.n == 0 || matters(before))
				return false;
			continue;
		}
		if (!field(line, &seen, subject_out))
			return false;
		before = line;
	}
	return false;
}
