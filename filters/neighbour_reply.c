/*
 * What a neighbour answers; see neighbour.h. Both protocols have a line that says how it went,
 * fields up to an empty line, and a body: Rspamd's is JSON (neighbour_json.h), of spamd's none
 * is asked for, its verdict is the field Spam.
 */
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "filters/neighbour.h"

void
neighbour_reply_init(struct neighbour_reply *r, enum neighbour which)
{
	*r = (struct neighbour_reply){.which = which, .state = NEIGHBOUR_MORE};
	neighbour_json_init(&r->json);
}

static size_t
bytes_most(const struct neighbour_reply *r)
{
	return r->which == NEIGHBOUR_RSPAMD ? NEIGHBOUR_RSPAMD_BYTES_MOST
					    : NEIGHBOUR_SPAMD_BYTES_MOST;
}

/* words of the neighbour's own may follow, in what can be shown. */
static void
broken(struct neighbour_reply *r, const char *why, struct slice words)
{
	r->state = NEIGHBOUR_BROKEN;
	int n = snprintf(r->why, sizeof(r->why), "%s", why);
	must(n > 0 && (size_t)n < sizeof(r->why));
	for (size_t i = 0; i < words.n && (size_t)n + 1 < sizeof(r->why); i++)
		r->why[n++] = words.p[i] >= ' ' && words.p[i] <= '~' ? words.p[i] : '?';
	r->why[n] = '\0';
}

static bool
is_digits(struct slice s)
{
	uint64_t number;
	return s.n != 0 && slice_u64(s, &number);
}

/* "HTTP/1.1 200 OK", "SPAMD/1.1 0 EX_OK": the version, then the code and its words. */
static void
take_status(struct neighbour_reply *r, struct slice line)
{
	bool http = r->which == NEIGHBOUR_RSPAMD;
	struct slice version, code, words, major, minor;
	bool spaced = slice_cut(line, ' ', &version, &words);
	(void)slice_cut(words, ' ', &code, &words);
	struct slice prefix = http ? SLICE("HTTP/") : SLICE("SPAMD/");
	if (!spaced || !slice_starts(version, prefix) ||
		!slice_cut(slice_from(version, prefix.n), '.', &major, &minor) ||
		!is_digits(major) || !is_digits(minor) || !is_digits(code))
		broken(r, http ? "this is no HTTP: " : "this is no spamd: ", line);
	else if (!slice_eq(code, http ? SLICE("200") : SLICE("0")))
		broken(r, "it answered ", line);
	r->part = REPLY_FIELDS;
}

/* True ; 7.2 / 5.0 */
static void
take_spam(struct neighbour_reply *r, struct slice value)
{
	struct slice yes, score, required;
	if (r->has_score) {
		broken(r, "the field Spam stands in it twice", SLICE_NONE);
		return;
	}
	r->has_score = slice_cut(value, ';', &yes, &value) &&
		       slice_cut(value, '/', &score, &required) &&
		       neighbour_number(slice_trim(score), &r->score) &&
		       neighbour_number(slice_trim(required), &r->required);
	if (!r->has_score)
		broken(r, "its score cannot be read", SLICE_NONE);
}

static void
take_length(struct neighbour_reply *r, struct slice value)
{
	uint64_t n;
	if (!slice_u64(value, &n) || (r->has_length && n != r->body_bytes)) {
		broken(r, "its length cannot be read", SLICE_NONE);
		return;
	}
	r->has_length = true;
	r->body_bytes = r->body_left = n;
	if (n > bytes_most(r))
		broken(r, "its answer is too long", SLICE_NONE);
}

static void
take_field(struct neighbour_reply *r, struct slice line)
{
	struct slice name, value;
	if (!slice_cut(line, ':', &name, &value) || name.n == 0 ||
		slice_trim(name).n != name.n) {
		broken(r, "a field cannot be read: ", line);
		return;
	}
	value = slice_trim(value);
	if (slice_eq_nocase(name, SLICE("Content-Length")))
		take_length(r, value);
	else if (r->which == NEIGHBOUR_SPAMD && slice_eq_nocase(name, SLICE("Spam")))
		take_spam(r, value);
	else if (slice_eq_nocase(name, SLICE("Transfer-Encoding")) ||
		 slice_eq_nocase(name, SLICE("Content-Encoding")))
		broken(r, "it answered in an encoding: ", value);
}

static void
body_ends(struct neighbour_reply *r)
{
	if (r->which == NEIGHBOUR_RSPAMD && !neighbour_json_end(&r->json))
		broken(r, "its answer cannot be read: ", slice_of(r->json.why));
	else
		r->state = NEIGHBOUR_DONE;
}

/* spamd answers CHECK with fields alone. */
static void
fields_end(struct neighbour_reply *r)
{
	r->part = REPLY_BODY;
	if (r->which == NEIGHBOUR_SPAMD && !r->has_score)
		broken(r, "no score is in it", SLICE_NONE);
	else if (r->has_length ? r->body_left == 0 : r->which == NEIGHBOUR_SPAMD)
		body_ends(r);
}

static void
take_line(struct neighbour_reply *r)
{
	bool whole = r->line_bytes <= sizeof(r->line), first = r->part == REPLY_STATUS;
	struct slice line = {r->line, whole ? r->line_bytes : sizeof(r->line)};
	r->line_bytes = 0;
	if (slice_ends(line, SLICE("\r")))
		line.n--;
	if (!whole)
		broken(r, "a line is too long: ", slice_first(line, 40));
	else if (slice_has(line, '\r') || slice_has(line, '\0'))
		broken(r, "a line cannot be read: ", line);
	else if (first)
		take_status(r, line);
	else if (line.n == 0)
		fields_end(r);
	else
		take_field(r, line);
}

static void
head_byte(struct neighbour_reply *r, char c)
{
	if (c == '\n') {
		take_line(r);
		return;
	}
	if (r->line_bytes < sizeof(r->line))
		r->line[r->line_bytes] = c;
	r->line_bytes++;
}

static void
take_body(struct neighbour_reply *r, struct slice piece)
{
	if (r->has_length)
		piece = slice_first(piece, (size_t)r->body_left);
	r->body_left -= r->has_length ? piece.n : 0;
	if (r->which == NEIGHBOUR_RSPAMD && !neighbour_json_feed(&r->json, piece))
		broken(r, "its answer cannot be read: ", slice_of(r->json.why));
	else if (r->has_length && r->body_left == 0)
		body_ends(r);
}

enum neighbour_state
neighbour_reply_feed(struct neighbour_reply *r, struct slice in)
{
	while (in.n != 0 && r->state == NEIGHBOUR_MORE) {
		size_t most = r->part == REPLY_BODY ? bytes_most(r) : NEIGHBOUR_HEAD_BYTES_MOST;
		if (r->bytes == most) {
			broken(r, "its answer is too long", SLICE_NONE);
			break;
		}
		size_t n = 1;
		if (r->part == REPLY_BODY) {
			n = in.n < most - r->bytes ? in.n : most - r->bytes;
			take_body(r, slice_first(in, n));
		} else {
			head_byte(r, in.p[0]);
		}
		r->bytes += n;
		in = slice_from(in, n);
	}
	return r->state;
}

enum neighbour_state
neighbour_reply_end(struct neighbour_reply *r)
{
	if (r->state != NEIGHBOUR_MORE)
		return r->state;
	if (r->part == REPLY_BODY && !r->has_length)
		body_ends(r);
	else
		broken(r,
			r->bytes == 0 ? "it closed the connection without an answer"
				      : "it closed the connection in the middle of its answer",
			SLICE_NONE);
	return r->state;
}

struct neighbour_verdict
neighbour_reply_verdict(const struct neighbour_reply *r)
{
	must(r->state == NEIGHBOUR_DONE);
	if (r->which == NEIGHBOUR_SPAMD)
		return (struct neighbour_verdict){.score = r->score, .required = r->required};
	return (struct neighbour_verdict){.score = r->json.score,
		.required = r->json.required,
		.action = slice_of(r->json.action)};
}

const char *
neighbour_reply_why(const struct neighbour_reply *r)
{
	return r->why;
}
