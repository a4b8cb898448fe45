/*
 * Shared by the files of the keeper; nobody else includes it. keeper.c the process, peers.c the
 * processes that it asks, take.c a transaction of a session, mail.c mails in memory, attempt.c
 * a part on its way, commit.c what the store is not sure of, settle.c what becomes of
 * recipients for good, notice.c the DSNs, watch.c the start and the rounds over all that is
 * stored, act.c what people do by hand, quarantine.c what they do to what is kept for them, and
 * how much that is, rescan.c the scanner's word before it.
 */
#ifndef QUEUE_KEEPER_PRIV_H
#define QUEUE_KEEPER_PRIV_H

#include <sys/queue.h>

#include "base/log.h"
#include "io/control.h"
#include "io/peer.h"
#include "queue/divide.h"
#include "queue/dsn.h"
#include "queue/egress.h"
#include "queue/hand.h"
#include "queue/keeper.h"
#include "queue/messages.h"
#include "queue/schedule.h"
#include "queue/spam_desk.h"
#include "queue/state_desk.h"

enum {
	KEEPER_BUCKETS = 4096,
	KEEPER_DELIVERIES_MOST = 16,
	KEEPER_CACHE_BYTES = 64 * 1024 * 1024, /* of mails that wait for their first attempt */
	KEEPER_WAITS_MOST = 4,                 /* of one client, at once: DESIGN.md */
	KEEPER_LOADS_MOST = 64,                /* mails being read from the store at once */
	KEEPER_SUSPECTS = 64,                  /* mails that a delivery process died with */
	KEEPER_AGAIN_MS = 1000,                /* a process or the store does not take it now */
	KEEPER_PROBE_MS = 50,    /* the store, for the first time after a failure */
	KEEPER_SCANS_MOST = 512, /* questions to the scanner at once */
};

struct keeper;
struct take;
struct mail;

/* A delivery process; the last ones of an earlier generation stay until they have answered. */
struct outlet {
	LIST_ENTRY(outlet) link;
	struct peer *peer;
	unsigned open; /* questions */
	bool retired;
};

/* What several mails of one transaction live in; of one stored mail it is its own. */
struct holding {
	struct arena *arena;
	int file;      /* the bodies' file parts; -1: none */
	unsigned uses; /* mails, and the take */
};

struct part {
	const struct division *division; /* its recipients */
	bool in_flight;
	/* of the attempt under way */
	struct mail *mail;
	struct outlet *outlet;
	uint32_t question;
	uint32_t *asked; /* the recipients that it is about */
	uint32_t n_asked;
	enum delivery_way way;
};

enum mail_place {
	MAIL_LOADING, /* asked of the store */
	MAIL_NEW,     /* in memory alone */
	MAIL_PUTTING, /* a commit is under way */
	MAIL_STORED,
	MAIL_GONE, /* dropped, or never to be stored: ends with its last user */
};

enum body_place {
	BODY_STORED,
	BODY_READING,
	BODY_HERE,
	BODY_LOST,    /* the store does not give it */
	BODY_NO_ROOM, /* for the copy that a delivery process gets: not now */
};

/* What the scanner of now says of a mail in quarantine, once it was asked. */
enum rescan {
	RESCAN_LATER, /* it is being asked: mail_idle comes again */
	RESCAN_CLEAN,
	RESCAN_NO_FILTER,   /* no rule of the configuration looks for viruses */
	RESCAN_UNSCANNABLE, /* nothing was found, and not everything was looked into */
	RESCAN_INFECTED,
	RESCAN_NOT_NOW, /* no scanner, no body, time over */
};

struct mail {
	LIST_ENTRY(mail) link;   /* of its bucket */
	TAILQ_ENTRY(mail) cache; /* idle, kept for its first attempt */
	struct keeper *keeper;
	struct holding *holding;
	struct custody_id id;
	struct stored_mail mail;
	struct stored_note note;
	struct part *parts;
	uint32_t n_parts;
	enum mail_place place;
	enum body_place body_place;
	struct relay_body body;
	/* The same in a file of its own, where it is too much for a message; the store may be
	 * reading the other one. */
	struct relay_body body_in_file;
	int body_file;      /* 0: none */
	uint64_t body_read; /* bytes, while BODY_READING */
	uint64_t body_bytes;
	struct take *take; /* its client still waits */
	unsigned in_flight;
	unsigned users; /* calls under way that will come back to it */
	bool cached;
	bool dirty;        /* the note has changed since it was last committed */
	bool saving;       /* a commit of the note is under way */
	bool settling;     /* notices are being made; what comes meanwhile is saved as ever, */
	bool telling;      /* ... until they are being stored, and with them the note */
	bool settle_later; /* they could not be: the next round tries again */
	bool dropped;      /* LOADING: it is on its way out of the store */
	bool unread;       /* the store did not give it: GONE from memory alone */
	enum rescan rescan;
	struct slice rescan_why;      /* in words, where it is not clean */
	LIST_HEAD(, hand_work) hands; /* what people want of it */
	uint32_t *waiting_parts;      /* while LOADING or READING */
	uint32_t n_waiting_parts, room_waiting_parts;
};
LIST_HEAD(mail_bucket, mail);
TAILQ_HEAD(mail_cache, mail);

struct suspect { /* delivery processes died with it */
	struct custody_id id;
	unsigned deaths;
};

struct parted { /* keeper.c: the parts of the mail that `why` is asked of */
	struct arena *arena;
	const struct stored_mail *mail;
	size_t n, last;
	uint32_t *part;
};

struct keeper {
	struct loop *loop;
	struct service *service;
	struct custody *custody;
	struct schedule *schedule;
	struct egress *egress;
	struct hand *hand;
	struct state_desk *desk;
	struct spam_desk *spam;
	struct failure_rules *rules;
	struct arena *settings_arena;
	struct queue_settings settings;
	struct outlet *outlets[KEEPER_DELIVERIES_MOST];
	LIST_HEAD(, outlet) retired;
	struct peer *signer, *scanner;
	uint64_t signatures; /* of the scanner that is attached; 0: not known */
	uint64_t signatures_at_ms;
	struct hand_fill kept; /* quarantine.c */
	unsigned kept_told;    /* what the log has of it: 0, 1 (80 %) or 2 (full) */
	struct mail_bucket mails[KEEPER_BUCKETS];
	struct mail_cache cache;
	size_t cache_bytes;
	unsigned loads, notices; /* under way */
	LIST_HEAD(, take) takes;
	LIST_HEAD(, wait_count) waits;
	LIST_HEAD(, doubt) doubts; /* commit.c */
	unsigned in_flight;
	struct drop_batch *drops; /* what is through, on its way out of the store */
	struct parted parted;
	int tmp_dir; /* the spool, for unnamed files; -1: none */
	struct loop_task pump_task, reap_task;
	struct loop_timer pump_timer, round_timer, store_timer;
	struct suspect suspects[KEEPER_SUSPECTS];
	unsigned next_suspect;
	uint64_t round_from; /* where the round over the store stands */
	bool loading, store_bad, stopping, closing;
	uint64_t round_seen; /* mails, in this one */
	bool round_soon;     /* another after this one */
	unsigned diverting;  /* rounds, with the one under way, that bring what goes by MX */
	uint64_t end_ms;     /* stopping: no longer than until then */
	uint64_t loaded;     /* mails found at the start */
};

/* keeper.c */
bool keeper_is_older(const struct keeper *k, uint64_t since_ms, uint64_t ms);
int64_t keeper_wall(const struct keeper *k);
uint64_t keeper_mono(const struct keeper *k, uint64_t wall_ms); /* loop_now's clock */
void keeper_pump(struct keeper *k); /* later in this turn: what is due is tried */

/* peers.c */
bool keeper_on_peer(void *arg, enum process_kind kind, unsigned index, int fd);
void keeper_reap(void *keeper); /* frees those that have answered */
void keeper_outlets_close(struct keeper *k);
struct outlet *keeper_outlet(struct keeper *k, struct slice site); /* NULL: none is up */
void keeper_outlet_done(struct keeper *k, struct outlet *o);       /* a question less */

/* mail.c */
struct holding *holding_new(size_t most);
void holding_release(struct holding **h);
/* Into the table; the mail is NEW. */
struct mail *mail_new(struct keeper *k, struct holding *h, const struct custody_id *id);
struct mail *mail_find(struct keeper *k, const struct custody_id *id);
void mail_divide(struct mail *m); /* makes its parts, once the envelope is there */
/* From the store, for this part (UINT32_MAX: none in particular); attempt_begin follows. */
struct mail *mail_load(struct keeper *k, const struct custody_id *id, uint32_t part);
/* Asks for the body where it is not here; attempts of `part` go on when it is. True: it is
 * here, or not to be had: see body_place. */
bool mail_body(struct mail *m, uint32_t part);
/* Memory parts that no message holds into a file. -1: it is not to be had now. */
int mail_body_to_file(struct mail *m);
void mail_save(struct mail *m); /* the note, soon */
/* Nothing is under way with it any more? Then settle, keep for its first attempt, or free. */
void mail_idle(struct mail *m);
void mail_go_on(struct mail *m); /* its take, or where there is none mail_idle */
/* Its lifetime, or its time in quarantine. */
bool mail_is_over(const struct keeper *k, const struct stored_mail *m);
void mail_drop(struct mail *m); /* out of the store */
void mail_free(struct mail *m);
void mail_forget_all(struct keeper *k);
bool mail_is_final(const struct mail *m);          /* no recipient waits any more */
bool mail_is_untold(const struct stored_note *n);  /* its sender has to hear of somebody */
bool mail_waits(const struct stored_rcpt_note *r); /* to be tried again */
uint64_t mail_sender(const struct stored_mail *m); /* who takes turns */
/* The part as the schedule knows it, by what its waiting recipients say; false: none waits. */
bool mail_part(struct keeper *k, const struct custody_id *id, const struct stored_mail *m,
	const struct stored_note *n, const struct division *d, uint32_t part, struct arena *a,
	struct schedule_part *part_out);
void mail_schedule(struct mail *m, uint32_t part); /* into the schedule, unless in flight */
/* All parts of a mail that stays in the store. */
void mail_schedule_stored(struct keeper *k, const struct custody_id *id,
	const struct stored_mail *m, const struct stored_note *n);
/* Out of the store, with others, soon; asked again until it is. */
void drops_add(struct keeper *k, const struct custody_id *id);
bool drops_open(const struct keeper *k);                             /* some are not out yet */
bool drops_has(const struct keeper *k, const struct custody_id *id); /* this one is not */
void drops_again(struct keeper *k);                                  /* the store works again */
void drops_close(struct keeper *k);

void mail_save_all(struct keeper *k); /* the store works again */
/* For store.c: who waits for the envelope or the body. */
void mail_wait_part(struct mail *m, uint32_t part);
void mail_wake_parts(struct mail *m);

/* store.c, besides mail_load, mail_body, mail_save, drops_...: a commit has failed. */
void store_failed(struct keeper *k, struct slice why);

/* commit.c */
/* As custody_commit, of changes with a PUT among them; fn never hears UNKNOWN. */
void store_commit(struct keeper *k, const struct custody_change *changes, size_t n,
	custody_commit_fn *fn, void *arg);
void store_commits_close(struct keeper *k);

/* attempt.c */
/* A part that the schedule has given out, or schedule_try_now. */
void attempt_begin(struct mail *m, uint32_t part);
void attempt_cancel(struct mail *m); /* all of its attempts: no final dot is started */

/* settle.c */
/* r: its state and words for good, or what it waits for. */
void settle_rcpt(struct mail *m, uint32_t rcpt, const struct relay_rcpt *r,
	const struct delivery_result *all, enum delivery_way way);
void settle_expire(struct mail *m, uint32_t rcpt, const char *words);
/* Failed ones are told of, undeliverable ones put aside; what is through is dropped. */
bool settle_is_due(const struct mail *m); /* and now */
void settle(struct mail *m);

/* notice.c */
typedef void notice_fn(void *arg, bool stored);
/* Asked for when the notice is ready to be stored: the change that goes with it. False: none.
 */
typedef bool notice_with_fn(void *arg, struct custody_change *with_out);
/*
 * A DSN about these recipients (not empty), signed, put into the store in one commit with the
 * change of `with`. fn: once, later; where the signer is missing, without `with` before it.
 */
void notice_send(struct mail *m, struct dsn_rcpt *rcpts, size_t n, notice_with_fn *with,
	notice_fn *fn, void *arg);

/* take.c */
void take_message(struct keeper *k, struct service_client *from, struct ipc_msg *msg);
void take_cancel(struct keeper *k, struct service_client *from, uint32_t id);
void take_client_gone(struct keeper *k, struct service_client *from);
void take_progress(struct take *t); /* an attempt of one of its mails has ended */
/* Another attempt while the client waits: true: it has begun. */
bool take_try(struct take *t, struct mail *m, uint32_t part);
void take_settled(struct take *t); /* notices of one of its mails are stored, or not */
void take_close_all(struct keeper *k);
void take_forget_waits(struct keeper *k); /* at the end */

/* reply.c: what the client hears, from what became of all recipients. Pure. */
struct reply_count {
	uint32_t delivered, refused, waiting, kept;
	/* whose words are quoted, of those refused, delivered, waiting; may be NULL */
	const struct stored_rcpt_note *worst, *best, *later;
};
void reply_make(const struct reply_count *c, const char *log_id, enum queue_end end,
	struct arena *a, struct smtp_reply *reply_out);

/* watch.c */
void watch_start(struct keeper *k);  /* everything that is stored into the schedule */
void watch_round(void *keeper);      /* age limits, delay notices, what was forgotten */
void watch_soon(struct keeper *k);   /* a round is needed before its time */
void watch_divert(struct keeper *k); /* the way out is bad: all that waits for it is due now */

/* act.c */
enum act_result {
	ACT_DONE,
	ACT_NOTHING,
	ACT_FAILED,
	ACT_REFUSED,
	ACT_LATER /* mail_idle comes again, or act_end is called */
};
struct hand_work; /* of one mail, something that somebody wants */
void act_end(struct hand_work *w, enum act_result r, struct slice why);
bool act_pending(struct mail *m); /* does what people want of it; true: it is still at it */
void act_forget(struct mail *m);
void act_urgent(struct mail *m, enum hand_action a);
void act_review(struct keeper *k, const struct custody_id *id); /* not in memory now */
void act_by_hand(void *keeper, const struct hand_act *act, hand_done_fn *fn, void *arg);

/* quarantine.c: of mails that are in quarantine, STORED, with nothing under way. */
enum act_result quarantine_release(
	struct mail *m, const struct hand_act *act, struct hand_work *w, struct slice *why_out);
enum act_result quarantine_forward(
	struct mail *m, const struct hand_act *act, struct hand_work *w, struct slice *why_out);
enum act_result
quarantine_look(struct mail *m, const struct hand_act *act, struct slice *why_out);
/* How much there is: one more, one less, room for so many bytes more. */
void quarantine_add(struct keeper *k, uint64_t bytes);
void quarantine_remove(struct keeper *k, uint64_t bytes);
bool quarantine_has_room(struct keeper *k, uint64_t bytes);
struct hand_fill quarantine_fill(void *keeper);

/* rescan.c */
enum rescan rescan(struct mail *m);
void rescan_attach(struct keeper *k, int fd); /* a scanner, another than before */

void keeper_log(const struct mail *m, const char *what, const struct stored_rcpt_note *r,
	const struct address *rcpt);

#endif
