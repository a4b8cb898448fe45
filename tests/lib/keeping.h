/*
 * The keeper as the parent starts it, in its sandbox, with this test as its parent, session,
 * delivery processes, signer and scanner. What a remote would have said stands in the
 * recipient's local part, up to its first '.':
 *
 *     ok        taken                      550, 554   refused at RCPT, at the dot
 *     450, 451  put off at RCPT, the dot   dead       no connection to its site
 *     silent    no answer until let go     doubt      the dot went out, no reply
 *     listed    554, our address refused   grey       451, greylisted
 */
#ifndef TESTS_KEEPING_H
#define TESTS_KEEPING_H

#include <sys/types.h>

#include "base/scan_report.h"
#include "io/ipc.h"
#include "io/loop.h"
#include "io/peer.h"
#include "queue/hand_messages.h"
#include "queue/keeper.h"
#include "queue/messages.h"

enum { KEEPING_RCPTS_MOST = 12000, KEEPING_ASKED_MOST = 2000 };

struct keeping_mail { /* what the keeper has asked a delivery process to send */
	uint32_t id;
	bool answered, cancelled, null_sender;
	enum delivery_way way;
	size_t n_rcpts;
	char rcpts[120]; /* the first ones, "a@b c@d" */
	char prefer[64];
	struct buf data;
};

struct keeping {
	struct arena *arena;
	struct loop *loop;
	struct loop_timer late;
	bool timed_out, ready, gone;
	struct ipc *control, *delivery, *signer, *scanner;
	struct peer *session;
	pid_t pid;
	char folder[64];
	int spool;
	struct queue_settings settings;
	struct keeper_start start;
	/* what came about */
	struct keeping_mail asked[KEEPING_ASKED_MOST];
	size_t n_asked;
	size_t attempts; /* recipients in them, notices left out */
	size_t notices;  /* mails from <> */
	struct queue_result result;
	bool has_result, lost;
	bool signer_is_silent;
	/* What the scanner says; it starts with keeping_attach_scanner. */
	enum scan_status scan_says;
	const char *scan_word; /* the virus, or why not */
	uint64_t signatures;
	bool scanner_is_silent;
	size_t scans;
	struct buf scanned;  /* the last mail that it was given */
	const char *all_say; /* in place of what the names say */
	bool give_back;      /* of the transactions to come: see struct queue_take */
	bool dsn_fails;      /* notices are put off: they stay in the spool */
	bool remote_dsn;     /* the remotes have DSN on offer */
};

/* settings: hostname, way and queue are filled in where they are empty. */
void keeping_open(struct keeping *k);
void keeping_start(struct keeping *k); /* again, on the same spool */
void keeping_stop(struct keeping *k);  /* told to; status 0 */
void keeping_kill(struct keeping *k);  /* SIGKILL */
void keeping_close(struct keeping *k); /* stopped; the spool goes too */
void keeping_attach_delivery(struct keeping *k);
void keeping_attach_scanner(struct keeping *k);
void keeping_end_scanner(struct keeping *k); /* it dies */
void keeping_run_for(struct keeping *k, uint32_t ms);
/* Until *what has at least that value; at most ten seconds. */
void keeping_until(struct keeping *k, const size_t *what, size_t least);

/* A parcel to these recipients: "ok.1@a.example 550@b.example". In k->arena. */
struct queue_parcel keeping_parcel(struct keeping *k, const char *rcpts);
/* Asks, and waits for the result. */
const struct queue_result *
keeping_take(struct keeping *k, struct queue_parcel *parcels, size_t n, uint32_t budget_ms);
/* The id to cancel by. */
uint32_t
keeping_ask(struct keeping *k, struct queue_parcel *parcels, size_t n, uint32_t budget_ms);
void keeping_wait_result(struct keeping *k);
/* What silent ones have been waiting for. */
void keeping_let_go(struct keeping *k, const char *as);

/* By hand, as `postern queue` does; waits for its end: mails that it was done to. */
uint32_t keeping_act(struct keeping *k, enum hand_action action, const struct custody_id *id);
/* All that there is to say; d_out->why lives in k->arena. */
void keeping_do(struct keeping *k, const struct hand_act *act, struct hand_done *d_out);
/* Asks, and waits for nothing. */
void keeping_do_and_go(struct keeping *k, const struct hand_act *act);

/* The next piece of a mail, as `postern queue body` asks for it over a connection of its own;
 * the answer's payload, in k->arena. True: it is a piece; false: words against it. */
bool keeping_body(struct keeping *k, const struct hand_body *b, struct slice *answer_out);

/* The keeper must not run: what stands in its spool. */
struct keeping_spool {
	size_t mails, notices, undeliverable, quarantined, held;
	size_t waiting, delivered, failed, told, doubt; /* recipients of what is sent */
};
void keeping_look(struct keeping *k, struct keeping_spool *s_out);
/* Each mail that stands there; valid in the call. */
typedef void keeping_each_fn(void *arg, const struct custody_id *id,
	const struct stored_mail *m, const struct stored_note *n);
void keeping_each(struct keeping *k, keeping_each_fn *fn, void *arg);

#endif
