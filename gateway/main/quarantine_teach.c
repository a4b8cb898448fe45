/*
 * What people do in the quarantine teaches the spam filter: `learn`, `release` (ham: of mails
 * from outside that a rule about spam has put there), `delete --spam`. The mail is read first,
 * as `show --raw` reads it: what the scanner stops is not taught. A lesson is on its way to the
 * disk before the mail is gone; what was learned already is not learned twice.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "main/corpus.h"
#include "main/mail_look.h"
#include "main/queue_priv.h"
#include "main/teacher.h"

enum { STORED_ARENA = 64 * 1024 * 1024 };

struct quarantine_lessons {
	enum hand_teach teach;
	bool all, must_be;
	struct mail_look *look;
	struct arena *arena; /* of an envelope */
	uint64_t fresh, known, changed;
	uint64_t unread;
	struct err why_unread, why_lost; /* of the first one; text empty: there is none */
};

struct quarantine_lessons *
quarantine_lessons_new(bool spam, bool all, bool must_be)
{
	struct quarantine_lessons *l = MEM_NEW(struct quarantine_lessons);
	l->teach = spam ? HAND_TEACH_SPAM : HAND_TEACH_HAM;
	l->all = all;
	l->must_be = must_be;
	l->arena = arena_new(STORED_ARENA);
	return l;
}

void
quarantine_lessons_free(struct quarantine_lessons **l)
{
	if (*l == NULL)
		return;
	mail_look_free(&(*l)->look);
	arena_free(&(*l)->arena);
	mem_free(*l);
	*l = NULL;
}

/* From outside, and kept for what it looks like; one that cannot be read is none. */
static bool
is_about_spam(struct queue_tool *q, const struct custody_id *id)
{
	struct quarantine_lessons *l = q->lessons;
	struct buf bytes;
	struct hand_stored s;
	struct stored_mail m;
	struct err err;
	buf_init(&bytes, HAND_STORED_MOST);
	arena_reset(l->arena);
	bool is = hand_client_mail(q->client, HAND_MSG_SHOW, id, &bytes, &err) == 0 &&
		  hand_stored_unpack(buf_slice(&bytes), &s) &&
		  stored_mail_unpack(s.envelope, l->arena, &m) && m.kind == STORED_QUARANTINE &&
		  m.direction == INBOUND && m.by_spam;
	buf_fini(&bytes);
	return is;
}

/* The first of it, as much as the filter looks at. */
static int
read_first(
	struct queue_tool *q, const struct custody_id *id, struct buf *bytes, struct err *err)
{
	struct hand_body b = {
		.id = *id, .unscannable = q->words.unscannable, .by = q->words.by};
	bool last = false;
	while (!last && buf_left(bytes) != 0) {
		struct slice piece;
		if (hand_client_body(q->client, &b, &piece, &last, err) < 0)
			return -1;
		b.offset += piece.n;
		(void)buf_add(bytes, slice_first(piece, buf_left(bytes)));
	}
	return 0;
}

static int
teach_one(struct queue_tool *q, struct teacher *t, const struct custody_id *id, struct err *err)
{
	struct quarantine_lessons *l = q->lessons;
	struct buf bytes;
	struct err why;
	int result = 0;
	if (!l->all && !is_about_spam(q, id))
		return 0;
	buf_init(&bytes, CORPUS_MAIL_MOST);
	if (read_first(q, id, &bytes, &why) == 0)
		result = teacher_teach(
			t, l->teach, mail_look_at(l->look, buf_slice(&bytes)), err);
	else if (l->unread++ == 0)
		l->why_unread = why;
	buf_fini(&bytes);
	return result;
}

/* Mails are read over the same channel: each lesson is taken before the next one is read. */
static int
teach_all(struct queue_tool *q, const struct custody_id *ids, size_t n, struct err *err)
{
	struct quarantine_lessons *l = q->lessons;
	struct teacher *t = teacher_new(q->client, SLICE_NONE, NULL, NULL);
	struct hand_spam_done done = {.stored = true};
	int result = 0;
	for (size_t i = 0; i < n && result == 0; i++) {
		result = teach_one(q, t, &ids[i], err);
		if (result == 0)
			result = teacher_flush(t, err);
	}
	const struct teacher_counts *c = teacher_counts(t);
	if (result == 0 && c->taught[l->teach] + c->changed != 0)
		result = teacher_commit(t, &done, err);
	l->fresh += c->taught[l->teach];
	l->known += c->known;
	l->changed += c->changed;
	if (!done.stored)
		err_set(&l->why_lost, "not on disk, and tried again: %.*s",
			SLICE_ARG(done.why));
	teacher_free(&t);
	return result;
}

int
quarantine_teach(struct queue_tool *q, const struct custody_id *ids, size_t n, struct err *err)
{
	struct quarantine_lessons *l = q->lessons;
	if (l->look == NULL)
		l->look = mail_look_new(q->words.hostname);
	if (teach_all(q, ids, n, err) == 0)
		return 0;
	if (l->must_be)
		return -1;
	l->why_lost = *err;
	return 0;
}

void
quarantine_tell(const struct quarantine_lessons *l, const struct tool *t)
{
	if (l->fresh + l->known + l->changed != 0)
		fprintf(t->out,
			"learned as %s: %" PRIu64 " new, %" PRIu64 " known already, %" PRIu64
			" changed\n",
			l->teach == HAND_TEACH_SPAM ? "spam" : "ham", l->fresh, l->known,
			l->changed);
	if (l->unread != 0)
		fprintf(t->err, "postern: %" PRIu64 " not learned: %s\n", l->unread,
			l->why_unread.text);
	if (l->why_lost.text[0] != '\0')
		fprintf(t->err, "postern: learning: %s\n", l->why_lost.text);
}

void
quarantine_tell_json(const struct quarantine_lessons *l, struct json *j)
{
	bool lost = l->why_lost.text[0] != '\0';
	if (!l->all && l->fresh + l->known + l->changed + l->unread == 0 && !lost)
		return; /* a release that has nothing to do with spam */
	json_begin(j, "learned", '{');
	json_text(j, "as", slice_of(l->teach == HAND_TEACH_SPAM ? "spam" : "ham"));
	json_number(j, "new", l->fresh);
	json_number(j, "known", l->known);
	json_number(j, "changed", l->changed);
	json_number(j, "unread", l->unread);
	if (l->unread != 0)
		json_text(j, "why_unread", slice_of(l->why_unread.text));
	if (lost)
		json_text(j, "error", slice_of(l->why_lost.text));
	json_end(j, '}');
}

int
quarantine_learn(struct queue_tool *q)
{
	struct quarantine_lessons *l = q->lessons;
	struct queue_chosen c;
	struct json j;
	struct err err;
	int result = queue_choose(q, &c, &err);
	if (result == 0 && c.n == 0)
		result = err_set(&err, "the filter means no mail");
	if (result == 0)
		result = quarantine_teach(q, c.ids, c.n, &err);
	mem_free(c.ids);
	if (result < 0)
		fprintf(q->tool->err, "postern: %s\n", err.text);
	if (q->words.json) {
		json_init(&j, q->tool->out);
		json_begin(&j, NULL, '{');
		json_text(&j, "action", SLICE("learn"));
		quarantine_tell_json(l, &j);
		json_end(&j, '}');
		json_line(&j);
	} else {
		quarantine_tell(l, q->tool);
	}
	return result < 0 || l->unread != 0 || l->why_lost.text[0] != '\0';
}
