/*
 * Questions: what a filter would have to ask the world. A filter never asks; it looks an answer
 * up, and where it is missing the look-up becomes a question and the filter says FACT_OPEN. The
 * driver (event loop, blocking, or a table in tests and explain) takes the open ones, all at
 * once, puts the answers in, and evaluates again.
 */
#ifndef FILTERS_QUESTION_H
#define FILTERS_QUESTION_H

#include <sys/queue.h>

#include "base/append_plan.h"
#include "base/arena.h"
#include "base/dns.h"
#include "base/map.h"
#include "base/scan_report.h"
#include "base/state_op.h"
#include "filters/neighbour.h"
#include "smtp/address.h"

enum question_kind {
	QUESTION_DNS,
	QUESTION_KNOWN,  /* is this recipient known to its server: a call-out */
	QUESTION_SCAN,   /* the mail, by a scanner */
	QUESTION_ENGINE, /* a second engine (libspf2, libopendkim) in its own process */
	QUESTION_STATE,  /* an operation on the gateway's state, by the keeper */
	QUESTION_APPEND, /* how a text is put under the mail, by a scanner */
	QUESTION_LOOKUP, /* is this value in that table, which a directory or database holds */
	QUESTION_NEIGHBOUR, /* what a scanner beside us (Rspamd, spamd) says of the mail */
};

/* SKIPPED: a reservation that was not needed, since one before it was not granted; it is new
 * again when it is asked for again. */
enum question_state { QUESTION_NEW, QUESTION_ASKED, QUESTION_ANSWERED, QUESTION_SKIPPED };

enum known_answer { KNOWN_YES, KNOWN_NO, KNOWN_FAILED };
enum lookup_answer { LOOKUP_YES, LOOKUP_NO, LOOKUP_FAILED };

struct question {
	TAILQ_ENTRY(question) link;
	enum question_kind kind;
	enum question_state state;
	struct slice key; /* DNS: type and name; equal keys are one question */
	/* what is asked */
	struct slice name; /* DNS: name; KNOWN: the recipient, canonical; ENGINE, NEIGHBOUR:
			      which */
	enum dns_type type;
	struct slice input; /* ENGINE: packed arguments, its own format; LOOKUP: the value, with
			       the table as `name`; APPEND: the HTML, with the text as `name` */
	struct state_op op; /* STATE */
	uint64_t order;     /* STATE: grows with each that is asked for, over all scopes */
	/* what was answered */
	const struct dns_answer *dns;
	enum known_answer known;
	struct slice known_text; /* the server's words */
	const struct scan_report *scan;
	const struct append_plan *plan; /* APPEND */
	struct slice output;            /* ENGINE; empty: it failed */
	struct state_answer answer;     /* STATE */
	enum lookup_answer lookup;
	struct slice lookup_text; /* FAILED: why, in words */
	const struct neighbour_verdict *neighbour;
	/*
	 * STATE: what an answer has reserved stays taken when its scope ends (facts_keep), and
	 * what a GET has a time to live for is set; else the driver gives it back then.
	 */
	bool kept;
	void *driver; /* the driver's own: a handle to cancel by */
};

TAILQ_HEAD(question_list, question);

/* The questions of one scope (a session, a mail) and their answers. */
struct questions {
	struct arena *arena;
	struct map *by_key; /* DNS */
	struct question_list list;
	unsigned count, dns_count; /* of all ever asked: limits hang on it */
	unsigned answered;         /* grows with each answer: whether to run again */
	unsigned skipped;          /* likewise */
};

/* Answers that would leave an arena less room than this become failures (DNS_FAIL,
 * SCAN_FAILED). */
enum { QUESTION_ARENA_RESERVE = 4 * 1024 * 1024 };

void questions_init(struct questions *q, struct arena *a);
/* Found or made; state tells whether the answer is there. Names compare without case and final
 * dot. */
struct question *questions_dns(struct questions *q, struct slice name, enum dns_type type);
struct question *questions_known(struct questions *q, struct slice recipient);
struct question *questions_scan(struct questions *q);
struct question *questions_append(struct questions *q, struct slice text, struct slice html);
struct question *questions_engine(struct questions *q, struct slice engine, struct slice input);
/* Equal by kind, space and key: one step for each scope. op is copied. */
struct question *questions_state(struct questions *q, const struct state_op *op);
struct question *questions_lookup(struct questions *q, struct slice table, struct slice value);
struct question *
questions_neighbour(struct questions *q, struct slice which, struct slice envelope);
/* The next in state NEW, or NULL. The driver sets ASKED and later calls one of the answers. */
struct question *questions_new(struct questions *q);
unsigned questions_open(const struct questions *q); /* NEW and ASKED */
/* Whether the DNS question was ever asked in this scope: asking it again costs nothing. */
bool questions_dns_has(const struct questions *q, struct slice name, enum dns_type type);
/* The same for the other kinds; input: of ENGINE. */
bool questions_has(const struct questions *q, enum question_kind kind, struct slice name,
	struct slice input);
bool questions_state_has(const struct questions *q, const struct state_op *op);
/*
 * Takes back one question that was asked and not answered (it is NEW again), or NULL: the
 * driver calls these off before the scope's arena goes.
 */
struct question *questions_call_off(struct questions *q);

/* Answers are copied into the scope's arena. */
void
question_answer_dns(struct questions *q, struct question *one, const struct dns_answer *answer);
void question_answer_known(
	struct questions *q, struct question *one, enum known_answer known, struct slice words);
void
question_answer_scan(struct questions *q, struct question *one, const struct scan_report *r);
void question_answer_append(
	struct questions *q, struct question *one, const struct append_plan *plan);
void question_answer_engine(struct questions *q, struct question *one, struct slice output);
void question_answer_state(
	struct questions *q, struct question *one, const struct state_answer *answer);
/* Not answered: one before it was not granted. */
void question_skip_state(struct questions *q, struct question *one);
void question_answer_lookup(struct questions *q, struct question *one,
	enum lookup_answer answer, struct slice words);
void question_answer_neighbour(
	struct questions *q, struct question *one, const struct neighbour_verdict *v);

#endif
