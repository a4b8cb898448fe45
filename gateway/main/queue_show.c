/*
 * `postern queue show, why, body ID` and `postern quarantine show ID`: one mail whole; see
 * queue_priv.h. What is stored comes as
 * the keeper's bytes and is unpacked here, with the code that packed it.
 */
#include <errno.h>
#include <inttypes.h>

#include "main/mail_text.h"
#include "main/queue_priv.h"
#include "queue/hand_item.h"
#include "queue/hand_words.h"

enum { SHOW_ARENA = 64 * 1024 * 1024, TEXT_MOST = 512 * 1024 * 1024 };

static struct slice
way_text(enum delivery_way way)
{
	static const char *const texts[DELIVERY_WAYS] = {
		[DELIVERY_BY_SEND] = "send",
		[DELIVERY_BY_SMARTHOST] = "smarthost",
		[DELIVERY_BY_DOMAIN] = "domain",
		[DELIVERY_BY_ROUTE] = "route",
	};
	return slice_of(texts[way]);
}

/* ---- for people ---- */

static void
print_row(FILE *f, const char *name, struct slice value)
{
	if (value.n != 0)
		fprintf(f, "%-12s %.*s\n", name, SLICE_ARG(value));
}

static void
print_time(const struct queue_tool *q, const char *name, uint64_t wall_ms)
{
	char time[HAND_TIME_BYTES], span[HAND_SPAN_BYTES];
	if (wall_ms == 0)
		return;
	uint64_t ago = q->now_ms > wall_ms ? q->now_ms - wall_ms : 0;
	fprintf(q->tool->out, "%-12s %s (%s%s)\n", name, hand_time(wall_ms, time),
		wall_ms > q->now_ms ? hand_until(wall_ms, q->now_ms, span)
				    : hand_span(ago, span),
		wall_ms > q->now_ms ? "" : " ago");
}

/* Each line of it a row of its own. */
static void
print_lines(FILE *f, const char *name, struct slice lines)
{
	struct slice line;
	while (lines.n != 0) {
		slice_cut(lines, '\n', &line, &lines);
		print_row(f, name, line);
	}
}

/* What was known of it, what scans found, what people did. */
static void
print_known(
	const struct queue_tool *q, const struct stored_mail *m, const struct stored_note *n)
{
	FILE *f = q->tool->out;
	print_lines(f, "fact", m->facts);
	print_row(f, "virus", stored_virus(m, n));
	if (stored_signatures(m, n) != 0)
		fprintf(f, "%-12s %016" PRIx64 "\n", "signatures", stored_signatures(m, n));
	print_row(f, "released by", n->by);
	print_time(q, "released", n->by_ms);
	print_lines(f, "history", n->history);
}

static void
print_rcpt(const struct queue_tool *q, const struct stored_rcpt *r,
	const struct stored_rcpt_note *n, struct arena *a)
{
	FILE *f = q->tool->out;
	char time[HAND_TIME_BYTES];
	fprintf(f, "recipient    <%.*s>: %s, by %.*s to %.*s, %u attempts",
		SLICE_ARG(r->address.text), queue_state_text(n->state),
		SLICE_ARG(way_text(n->way)), SLICE_ARG(r->site), n->attempts);
	if (hand_is_open(n->state))
		fprintf(f, ", next %s",
			n->due_ms == 0 ? "at once" : hand_time(n->due_ms, time));
	fputc('\n', f);
	if (n->reply.code != 0)
		fprintf(f, "             last %s %.*s: %.*s (%s)\n",
			hand_time(n->last_ms, time), SLICE_ARG(n->host),
			SLICE_ARG(smtp_reply_line(&n->reply, a)),
			n->state == RCPT_DELIVERED ? "delivered"
						   : failure_class_text(n->failure.class));
}

static void
print_mail(const struct queue_tool *q, const struct hand_stored *s, const struct stored_mail *m,
	const struct stored_note *n, struct arena *a)
{
	FILE *f = q->tool->out;
	char id[CUSTODY_ID_TEXT], ip[IP_TEXT_BYTES];
	print_row(f, "id", slice_of(custody_id_text(&q->words.filter.id, id)));
	print_row(f, "kind", slice_of(queue_kind_text(m->kind)));
	print_row(
		f, "direction", m->direction == INBOUND ? SLICE("inbound") : SLICE("outbound"));
	fprintf(f, "%-12s %" PRIu64 "\n", "bytes", s->bytes);
	print_time(q, "arrived", m->arrived_ms);
	print_time(q, "hold until", m->hold_until_ms);
	print_row(f, "log id", m->log);
	print_row(f, "account", m->user);
	if (m->client.family != 0)
		print_row(f, "client", ip_text(&m->client, ip));
	print_row(f, "quarantine", m->quarantine);
	print_row(f, "rule", m->reason);
	print_row(f, "route", m->route);
	if (m->notification)
		print_row(f, "notice", SLICE("a delivery status notification of ours"));
	if (n->held)
		print_row(f, "held", SLICE("by hand"));
	if (n->expire)
		print_row(f, "given up", SLICE("by hand"));
	print_known(q, m, n);
	fprintf(f, "%-12s <%.*s>\n", "sender", SLICE_ARG(m->sender.text));
	print_row(f, "envid", m->params.envid);
	for (size_t i = 0; i < m->n_rcpts; i++)
		print_rcpt(q, &m->rcpts[i], &n->rcpts[i], a);
}

/* ---- for programs ---- */

static void
json_rcpt(struct json *j, const struct stored_rcpt *r, const struct stored_rcpt_note *n,
	struct arena *a)
{
	char ip[IP_TEXT_BYTES];
	json_begin(j, NULL, '{');
	json_text(j, "address", r->address.text);
	json_text(j, "state", slice_of(queue_state_text(n->state)));
	json_text(j, "site", r->site);
	json_text(j, "way", way_text(n->way));
	json_number(j, "attempts", n->attempts);
	json_time(j, "last", n->last_ms);
	json_time(j, "next", hand_is_open(n->state) ? n->due_ms : 0);
	json_bool(j, "delay_told", n->delay_told);
	if (n->address.family != 0)
		json_text(j, "same_address", ip_text(&n->address, ip));
	if (n->reply.code != 0) {
		if (n->state != RCPT_DELIVERED) {
			json_text(j, "reason", slice_of(failure_class_text(n->failure.class)));
			json_bool(j, "permanent", n->failure.permanent);
			json_text(j, "phase", slice_of(failure_phase_text(n->at)));
		}
		json_bool(j, "remote", n->from_hop);
		json_text(j, "host", n->host);
		json_text(j, "words", smtp_reply_line(&n->reply, a));
	}
	json_end(j, '}');
}

static void
json_lines(struct json *j, const char *key, struct slice lines)
{
	struct slice line;
	json_begin(j, key, '[');
	while (lines.n != 0) {
		slice_cut(lines, '\n', &line, &lines);
		json_text(j, NULL, line);
	}
	json_end(j, ']');
}

static void
json_known(struct json *j, const struct stored_mail *m, const struct stored_note *n,
	struct slice head)
{
	char signatures[20];
	json_lines(j, "facts", m->facts);
	json_text(j, "virus", stored_virus(m, n));
	snprintf(signatures, sizeof(signatures), "%016" PRIx64, stored_signatures(m, n));
	json_text(j, "signatures",
		stored_signatures(m, n) != 0 ? slice_of(signatures) : SLICE_NONE);
	json_text(j, "by", n->by);
	json_time(j, "released", n->by_ms);
	json_lines(j, "history", n->history);
	if (head.n != 0)
		json_text(j, "header", head);
}

static void
json_mail(const struct queue_tool *q, const struct hand_stored *s, const struct stored_mail *m,
	const struct stored_note *n, struct slice head, struct arena *a)
{
	struct json j;
	char id[CUSTODY_ID_TEXT], ip[IP_TEXT_BYTES];
	json_init(&j, q->tool->out);
	json_begin(&j, NULL, '{');
	json_text(&j, "id", slice_of(custody_id_text(&q->words.filter.id, id)));
	json_text(&j, "kind", slice_of(queue_kind_text(m->kind)));
	json_text(&j, "direction",
		m->direction == INBOUND ? SLICE("inbound") : SLICE("outbound"));
	json_number(&j, "bytes", s->bytes);
	json_time(&j, "arrived", m->arrived_ms);
	json_time(&j, "hold_until", m->hold_until_ms);
	json_bool(&j, "own", m->own);
	json_bool(&j, "notice", m->notification);
	json_bool(&j, "held", n->held);
	json_bool(&j, "expire", n->expire);
	json_text(&j, "log", m->log);
	json_text(&j, "account", m->user);
	if (m->client.family != 0)
		json_text(&j, "client", ip_text(&m->client, ip));
	json_text(&j, "quarantine", m->quarantine);
	json_text(&j, "rule", m->reason);
	json_text(&j, "route", m->route);
	json_text(&j, "sender", m->sender.text);
	json_text(&j, "envid", m->params.envid);
	json_known(&j, m, n, head);
	json_begin(&j, "recipients", '[');
	for (size_t i = 0; i < m->n_rcpts; i++)
		json_rcpt(&j, &m->rcpts[i], &n->rcpts[i], a);
	json_end(&j, ']');
	json_end(&j, '}');
	json_line(&j);
}

static int
show(struct queue_tool *q, struct slice head, struct err *err)
{
	struct buf bytes;
	struct hand_stored s;
	struct stored_mail m;
	struct stored_note n;
	struct arena *a = arena_new(SHOW_ARENA);
	buf_init(&bytes, HAND_STORED_MOST);
	int result =
		hand_client_mail(q->client, HAND_MSG_SHOW, &q->words.filter.id, &bytes, err);
	if (result == 0 && (!hand_stored_unpack(buf_slice(&bytes), &s) ||
				   !stored_mail_unpack(s.envelope, a, &m) ||
				   !stored_note_unpack(s.note, &m, a, &n)))
		result = err_set(err, "it cannot be read: damaged, or of a later release");
	if (result == 0 && q->words.json)
		json_mail(q, &s, &m, &n, head, a);
	else if (result == 0)
		print_mail(q, &s, &m, &n, a);
	if (result == 0 && !q->words.json && head.n != 0) {
		fputc('\n', q->tool->out);
		mail_text_safe(q->tool->out, head, false);
	}
	buf_fini(&bytes);
	arena_free(&a);
	return result;
}

int
queue_show(struct queue_tool *q, struct err *err)
{
	return show(q, SLICE_NONE, err);
}

int
queue_head(struct queue_tool *q, struct err *err)
{
	struct slice head;
	if (hand_client_head(q->client, &q->words.filter.id, &head, err) < 0)
		return -1;
	return show(q, arena_slice(q->words.arena, head), err);
}

int
queue_why(struct queue_tool *q, struct err *err)
{
	struct buf text;
	buf_init(&text, HAND_WHY_MOST);
	int result = hand_client_mail(q->client, HAND_MSG_WHY, &q->words.filter.id, &text, err);
	if (result == 0 && q->words.json) {
		struct json j;
		struct slice line, rest = buf_slice(&text);
		json_init(&j, q->tool->out);
		json_begin(&j, NULL, '[');
		while (rest.n != 0) {
			slice_cut(rest, '\n', &line, &rest);
			json_text(&j, NULL, line);
		}
		json_end(&j, ']');
		json_line(&j);
	} else if (result == 0) {
		tool_print(q->tool->out, buf_slice(&text));
	}
	buf_fini(&text);
	return result;
}

/* All of it, piece by piece. */
static int
read_body(struct queue_tool *q, int (*fn)(void *arg, struct slice piece), void *arg,
	struct err *err)
{
	struct hand_body b = {.id = q->words.filter.id,
		.unscannable = q->words.unscannable,
		.by = q->words.by};
	bool last = false;
	struct slice piece;
	while (!last) {
		if (hand_client_body(q->client, &b, &piece, &last, err) < 0)
			return -1;
		if (fn(arg, piece) < 0)
			return err_set(err, "the mail is too large to be shown");
		b.offset += piece.n;
	}
	return 0;
}

static int
print_piece(void *f, struct slice piece)
{
	tool_print(f, piece);
	return 0;
}

/* Byte by byte as it would leave; the line ends are CRLF. */
int
queue_body(struct queue_tool *q, struct err *err)
{
	if (read_body(q, print_piece, q->tool->out, err) < 0)
		return -1;
	return fflush(q->tool->out) == 0 ? 0 : err_sys(err, "write the mail");
}

static int
keep_piece(void *bytes, struct slice piece)
{
	return buf_add(bytes, piece);
}

int
queue_text(struct queue_tool *q, struct err *err)
{
	struct buf bytes;
	buf_init(&bytes, TEXT_MOST);
	int result = read_body(q, keep_piece, &bytes, err);
	if (result == 0)
		mail_text(q->tool->out, buf_slice(&bytes));
	buf_fini(&bytes);
	return result;
}
