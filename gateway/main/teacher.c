/*
 * Lessons on their way to the keeper; see teacher.h. Some messages are under way while the next
 * is filled, so that both processes work, and neither waits for the other to be scheduled.
 */
#include "main/teacher.h"

#include <string.h>

#include "base/mem.h"

enum { UNDER_WAY_MOST = 8 };

struct batch { /* what a message has */
	enum hand_teach teach[HAND_LESSONS_MOST];
	size_t n;
};

struct teacher {
	struct hand_client *client;
	struct slice domain;
	teacher_fn *fn;
	void *arg;
	struct ipc_out out;
	struct batch now;                       /* of `out` */
	struct batch under_way[UNDER_WAY_MOST]; /* the oldest first */
	size_t n_under_way;
	struct teacher_counts counts;
};

static void
begin(struct teacher *t)
{
	ipc_out_init(&t->out);
	hand_lessons_begin(t->domain, &t->out);
	t->now.n = 0;
}

struct teacher *
teacher_new(struct hand_client *client, struct slice domain, teacher_fn *fn, void *arg)
{
	struct teacher *t = MEM_NEW(struct teacher);
	t->client = client;
	t->domain = domain;
	t->fn = fn;
	t->arg = arg;
	begin(t);
	return t;
}

void
teacher_free(struct teacher **t)
{
	if (*t == NULL)
		return;
	ipc_out_fini(&(*t)->out);
	mem_free(*t);
	*t = NULL;
}

const struct teacher_counts *
teacher_counts(const struct teacher *t)
{
	return &t->counts;
}

static int
wrong(struct err *err)
{
	return err_set(
		err, "the keeper's answer cannot be read: is posternd of another version?");
}

static void
count(struct teacher *t, enum hand_teach teach, const struct hand_learned *learned)
{
	switch (learned->result) {
	case SPAM_LEARNED: t->counts.taught[teach]++; break;
	case SPAM_CHANGED: t->counts.changed++; break;
	case SPAM_KNOWN: t->counts.known++; break;
	case SPAM_UNKNOWN: t->counts.unknown++; break;
	}
	if (t->fn != NULL)
		t->fn(t->arg, learned);
}

/* The answer to the first that is under way. */
static int
hear(struct teacher *t, struct err *err)
{
	struct hand_learned list[HAND_LESSONS_MOST];
	struct slice payload;
	size_t n;
	if (hand_client_receive(t->client, HAND_MSG_SPAM_LEARNED, &payload, err) < 0)
		return -1;
	if (!hand_learned_unpack(payload, list, &n) || n != t->under_way[0].n)
		return wrong(err);
	for (size_t i = 0; i < n; i++)
		count(t, t->under_way[0].teach[i], &list[i]);
	t->n_under_way--;
	memmove(t->under_way, t->under_way + 1, t->n_under_way * sizeof(t->under_way[0]));
	return 0;
}

static int
send_lessons(struct teacher *t, struct err *err)
{
	if (t->now.n == 0)
		return 0;
	if (t->n_under_way == UNDER_WAY_MOST && hear(t, err) < 0)
		return -1;
	hand_lessons_end(&t->out);
	int result = hand_client_send(t->client, HAND_MSG_SPAM_LEARN, &t->out, err);
	ipc_out_fini(&t->out);
	if (result == 0)
		t->under_way[t->n_under_way++] = t->now;
	begin(t);
	return result;
}

int
teacher_teach(struct teacher *t, enum hand_teach teach, const struct spam_features *f,
	struct err *err)
{
	struct hand_lesson lesson = {teach, *f};
	if (t->now.n == HAND_LESSONS_MOST && send_lessons(t, err) < 0)
		return -1;
	if (!hand_lessons_add(&lesson, &t->out)) {
		if (send_lessons(t, err) < 0)
			return -1;
		(void)hand_lessons_add(&lesson, &t->out); /* the first one fits */
	}
	t->now.teach[t->now.n++] = teach;
	return 0;
}

int
teacher_flush(struct teacher *t, struct err *err)
{
	int result = send_lessons(t, err);
	while (result == 0 && t->n_under_way != 0)
		result = hear(t, err);
	return result;
}

int
teacher_commit(struct teacher *t, struct hand_spam_done *done, struct err *err)
{
	struct ipc_out out;
	struct slice payload;
	if (teacher_flush(t, err) < 0)
		return -1;
	ipc_out_init(&out);
	int result = hand_client_ask(
		t->client, HAND_MSG_SPAM_COMMIT, &out, HAND_MSG_SPAM_DONE, &payload, err);
	ipc_out_fini(&out);
	if (result < 0)
		return -1;
	return hand_spam_done_unpack(payload, done) ? 0 : wrong(err);
}

int
teacher_status(struct hand_client *client, struct hand_spam_model list[HAND_SPAM_MODELS_MOST],
	size_t *n, struct err *err)
{
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	int result = hand_client_ask(
		client, HAND_MSG_SPAM_STATUS, &out, HAND_MSG_SPAM_MODELS, &payload, err);
	ipc_out_fini(&out);
	if (result < 0)
		return -1;
	return hand_spam_models_unpack(payload, list, n) ? 0 : wrong(err);
}
