/*
 * `postern queue` in files: tool_queue.c its words, queue_list.c the list and the summary,
 * queue_show.c one mail, queue_act.c what changes something. Nobody else includes it.
 */
#ifndef MAIN_QUEUE_PRIV_H
#define MAIN_QUEUE_PRIV_H

#include "main/hand_client.h"
#include "main/json.h"
#include "main/tool.h"

struct queue_words { /* of the command line */
	const char *verb;
	struct hand_filter filter;
	bool any; /* a filter was given, or --all */
	bool json, yes, has_count;
	uint64_t count;
	struct arena *arena;
	struct slice spool;
};

struct queue_tool {
	const struct tool *tool;
	struct queue_words words;
	struct hand_client *client;
	uint64_t now_ms; /* wall clock */
};

/* Each: 0, or -1 and err. */
int queue_list(struct queue_tool *q, struct err *err);
int queue_summary(struct queue_tool *q, struct err *err);
int queue_show(struct queue_tool *q, struct err *err);
int queue_why(struct queue_tool *q, struct err *err);
int queue_body(struct queue_tool *q, struct err *err);
/* The exit status, err printed. */
int queue_act(struct queue_tool *q, enum hand_action action);

/* A bar on a terminal, redrawn at most ten times a second; nothing anywhere else. */
struct queue_bar {
	FILE *f;
	bool shown;
	uint64_t from_ms, last_ms;
};
void queue_bar_init(struct queue_bar *b, const struct tool *t);
void queue_bar_draw(struct queue_bar *b, uint64_t done, uint64_t all);
void queue_bar_end(struct queue_bar *b);

const char *queue_kind_text(enum stored_kind k); /* "send", "hold", "quarantine" */
const char *queue_state_text(enum rcpt_state s); /* "waiting", "delivered", ... */

#endif
