/*
 * Tag lists, see tag.h. The input is whatever a stranger put into a header field or a TXT
 * record, so the only states are "a tag" and "not a tag": there is no lenient reading of a
 * value.
 */
#include "filters/tag.h"

#include <string.h>

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/*
 * How many bytes of folding white space stand at the front. CR and LF count only as CRLF before
 * a blank (RFC 5322 3.2.2): anything else stays, and is refused as a byte of a value.
 */
static size_t
fws_length(struct slice s)
{
	size_t i = 0;
	for (;;) {
		if (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t'))
			i++;
		else if (i + 2 < s.n && s.p[i] == '\r' && s.p[i + 1] == '\n' &&
			 (s.p[i + 2] == ' ' || s.p[i + 2] == '\t'))
			i += 3;
		else
			return i;
	}
}

static struct slice
trim_end(struct slice s)
{
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

static size_t
name_length(struct slice s)
{
	size_t i = 0;
	if (s.n == 0 || !ascii_alpha(s.p[0]))
		return 0;
	while (i < s.n && (ascii_alpha(s.p[i]) || ascii_digit(s.p[i]) || s.p[i] == '_'))
		i++;
	return i;
}

static bool
value_ok(struct slice s, bool utf8)
{
	for (size_t i = 0; i < s.n;) {
		size_t blanks = fws_length(slice_from(s, i));
		if (blanks > 0) {
			i += blanks;
			continue;
		}
		unsigned char c = (unsigned char)s.p[i++];
		if (c <= ' ' || c == 0x7f || (c >= 0x80 && !utf8))
			return false;
	}
	return true;
}

enum tag_step
tag_next(struct slice *rest, bool utf8, struct tag *tag_out)
{
	if (fws_length(*rest) == rest->n)
		return TAG_STEP_END;
	struct slice spec;
	slice_cut(*rest, ';', &spec, rest);
	const char *end = spec.p + spec.n;
	spec = trim_end(slice_from(spec, fws_length(spec)));
	size_t n = name_length(spec);
	size_t equals = n + fws_length(slice_from(spec, n));
	if (n == 0 || equals >= spec.n || spec.p[equals] != '=')
		return TAG_STEP_BAD;
	const char *gap = spec.p + equals + 1;
	tag_out->name = slice_first(spec, n);
	tag_out->gap = (struct slice){gap, (size_t)(end - gap)};
	tag_out->value = slice_from(spec, equals + 1);
	tag_out->value = slice_from(tag_out->value, fws_length(tag_out->value));
	return value_ok(tag_out->value, utf8) ? TAG_STEP_TAG : TAG_STEP_BAD;
}

enum tag_error
tags_parse(struct slice in, bool utf8, struct tags *tags_out)
{
	tags_out->n = 0;
	if (in.n > TAG_LIST_BYTES_MOST)
		return TAG_TOO_LONG;
	for (;;) {
		struct tag tag;
		enum tag_step step = tag_next(&in, utf8, &tag);
		if (step == TAG_STEP_END)
			return tags_out->n > 0 ? TAG_OK : TAG_SYNTAX;
		if (step == TAG_STEP_BAD)
			return TAG_SYNTAX;
		if (tags_out->n == TAG_COUNT_MOST)
			return TAG_TOO_LONG;
		for (size_t i = 0; i < tags_out->n; i++) {
			if (slice_eq(tags_out->tag[i].name, tag.name))
				return TAG_DUPLICATE;
		}
		tags_out->tag[tags_out->n++] = tag;
	}
}

const struct tag *
tags_find(const struct tags *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++) {
		if (slice_eq(t->tag[i].name, slice_of(name)))
			return &t->tag[i];
	}
	return NULL;
}

bool
tag_list_next(struct slice *rest, char separator, struct slice *item_out)
{
	if (rest->p == NULL)
		return false;
	size_t at = slice_find(*rest, separator);
	*item_out = slice_trim(slice_first(*rest, at));
	/* Behind a final separator stands one more item, an empty one. */
	*rest = at < rest->n ? (struct slice){rest->p + at + 1, rest->n - at - 1} : SLICE_NONE;
	return true;
}
