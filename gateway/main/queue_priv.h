/*
 * `postern queue` and `postern quarantine` in files: tool_queue.c and tool_quarantine.c their
 * words, queue_list.c the list and the summary, queue_show.c one mail, queue_act.c what changes
 * something, quarantine_act.c who may, where it is about mails in quarantine. Nobody else
 * includes it.
 */
#ifndef MAIN_QUEUE_PRIV_H
#define MAIN_QUEUE_PRIV_H

#include "main/bar.h"
#include "main/hand_client.h"
#include "main/json.h"
#include "main/tool.h"

struct queue_words { /* of the command line */
	const char *verb;
	struct hand_filter filter;
	bool any; /* a filter was given, or --all */
	bool json, yes, has_count;
	uint64_t count;
	uint64_t limit;         /* at most so many mails; 0: all */
	struct custody_id *ids; /* these and no others; NULL: by the filter */
	size_t n_ids;
	bool raw, text;   /* of `show` */
	bool unscannable; /* also what no scanner can look into */
	struct slice by, to;
	struct arena *arena;
	struct slice spool, hostname;
};

struct quarantine_lessons;

struct queue_tool {
	const struct tool *tool;
	struct queue_words words;
	struct hand_client *client;
	uint64_t now_ms;                    /* wall clock */
	uint64_t listed;                    /* mails that were printed */
	struct quarantine_lessons *lessons; /* what is taught by it; NULL: nothing */
};

/* Each: 0, or -1 and err. */
int queue_list(struct queue_tool *q, struct err *err);
int queue_summary(struct queue_tool *q, struct err *err);
int queue_show(struct queue_tool *q, struct err *err);
int queue_why(struct queue_tool *q, struct err *err);
int queue_body(struct queue_tool *q, struct err *err);
int queue_text(struct queue_tool *q, struct err *err);
/* The header of a mail in quarantine, or its bytes, behind what queue_show tells of it. */
int queue_head(struct queue_tool *q, struct err *err);
/* The exit status, err printed. */
int queue_act(struct queue_tool *q, enum hand_action action);
int quarantine_act(struct queue_tool *q, enum hand_action action);

/* The mails that the words mean; ids are the caller's to free. */
struct queue_chosen {
	struct custody_id *ids;
	size_t n, room, limit;
	uint64_t all;
	struct bar *bar;
};
int queue_choose(struct queue_tool *q, struct queue_chosen *c, struct err *err);
bool queue_is_terminal(FILE *f);

/* Whether it shall be done to n mails, of which --count said so many, if anything. 0: go on;
 * else the exit status, and it was said why. */
typedef int queue_may_fn(const struct queue_tool *q, enum hand_action action, size_t n);
/*
 * Does it to the mails that the words mean where `may` lets it, with a bar, and tells of it:
 * the exit status. name: of the verb.
 */
int queue_act_if(
	struct queue_tool *q, enum hand_action action, const char *name, queue_may_fn *may);

/*
 * quarantine_teach.c: mails in quarantine into lessons for the spam filter, before something is
 * done to them. all: also those that no rule about spam has put there. must: what cannot be
 * sent to the keeper is an error, and nothing is done to the mail.
 */
struct quarantine_lessons *quarantine_lessons_new(bool spam, bool all, bool must_be);
void quarantine_lessons_free(struct quarantine_lessons **l);
/* 0, or -1 and err. */
int
quarantine_teach(struct queue_tool *q, const struct custody_id *ids, size_t n, struct err *err);
/* What became of it: for people, to err where something is wrong; or into an open object. */
void quarantine_tell(const struct quarantine_lessons *l, const struct tool *t);
void quarantine_tell_json(const struct quarantine_lessons *l, struct json *j);
/* `quarantine learn`: the exit status. */
int quarantine_learn(struct queue_tool *q);

/* Words of the command line, the same for both. False: it cannot be. */
bool queue_read_address(struct queue_words *w, const char *text, struct slice *out);
bool queue_read_span(struct queue_words *w, const char *text, uint64_t *ms_out);
int queue_read_spool(struct queue_tool *q, struct err *err);

/* Where it is due: what is done in one step needs none. */
void queue_bar_draw(struct bar *b, uint64_t done, uint64_t all);

const char *queue_kind_text(enum stored_kind k); /* "send", "hold", "quarantine" */
const char *queue_state_text(enum rcpt_state s); /* "waiting", "delivered", ... */

#endif
