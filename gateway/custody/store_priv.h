/*
 * The inside of the segment store. Three threads: the loop's owns the index, the table of
 * segments and collection, and alone calls back; the writer's owns the open segment; the
 * reader's opens files for reading. They hand jobs to each other over three lists under one
 * lock; what is in a job belongs to the thread that has it. Jobs of a lane are done in order,
 * so that a segment whose removal is queued is used by nobody any more.
 */
#ifndef CUSTODY_STORE_PRIV_H
#define CUSTODY_STORE_PRIV_H

#include <pthread.h>

#include "custody/index.h"
#include "custody/records.h"
#include "custody/segments.h"
#include "custody/sidecar.h"

enum {
	FREE_MOST = 4,
	DROP_BYTES = 128, /* a DROP's record */
	WRITER_BUFFER = 1024 * 1024,
};

/* Where all of an item is. */
struct item_place {
	struct custody_id id;
	uint32_t put_in, put_at, note_in, note_at;
	uint64_t put_generation, note_generation;
	uint32_t envelope_bytes, note_bytes;
	uint64_t body_bytes;
};

enum job_kind {
	JOB_COMMIT,  /* writer */
	JOB_RESOLVE, /* nobody: answered by the loop, later */
	JOB_BODY,    /* reader, as all that follow */
	JOB_ITEMS,
	JOB_SIDECAR, /* from the writer */
	JOB_LOAD,    /* the list of a segment to be collected */
	JOB_FORGET,  /* a segment is empty */
	JOB_OPENED,  /* nobody: the writer tells the loop */
	JOB_SEALED,
};

struct copy {              /* one record of collection */
	enum record_op op; /* COPY, NOTE, DROP */
	struct item_place from;
	uint32_t until;
	uint32_t envelope_crc, note_crc; /* from here the writer's */
	uint64_t note_offset, payload_offset;
	bool lost; /* its record is damaged: not copied */
};

struct job_commit {
	custody_commit_fn *fn; /* NULL: collection */
	struct custody_change *changes;
	struct copy *copies;
	size_t n;
	bool put;
	uint64_t bytes; /* of its records, at most */
	uint32_t in;    /* the segment it went to */
	uint32_t *at;   /* of each record */
};

struct job_body {
	custody_body_fn *fn;
	struct item_place place;
	uint64_t offset;
	size_t length;
	char *bytes;
};

struct job_items {
	custody_scan_fn *fn;
	bool one; /* get */
	struct item_place *places;
	struct custody_item *items;
	char **texts;    /* what the items point to */
	uint32_t *after; /* the number behind each */
	size_t n, done, n_items;
	uint64_t next;
	bool end;
	unsigned damaged;
};

struct job {
	struct job *next;
	enum job_kind kind;
	enum custody_result result;
	void *arg;
	struct err why;
	union {
		struct job_commit commit;
		struct job_body body;
		struct job_items items;
		struct {
			custody_resolve_fn *fn;
			struct custody_id *ids;
			size_t n;
		} resolve;
		struct {
			uint32_t sequence;
			uint64_t generation, bytes, end;
			bool failed, recycled;
			struct sidecar sidecar;
		} segment;
	} u;
};

struct job_list {
	struct job *first, **last;
};

struct lane {
	pthread_t thread;
	pthread_cond_t more;
	struct job_list jobs;
	bool stop;
};

struct segment {
	uint32_t sequence;
	uint64_t generation;
	uint64_t bytes; /* of the file */
	uint64_t end;   /* of its records, once sealed */
	uint64_t live;  /* bytes that items need */
	uint32_t drops; /* DROP records in it */
	bool sealed;
	bool failed;    /* not to be used again */
	bool stuck;     /* cannot be collected: something in it is damaged */
	unsigned tries; /* of collection, that met a failure */
};

struct account { /* under the lock */
	uint64_t fs_free, checked_ms;
	uint64_t active_room; /* left in the open segment */
	uint64_t queued_bytes;
	uint32_t free[FREE_MOST];
	unsigned n_free;
	bool refused; /* the last PUT was */
	bool failing;
	uint64_t syncs, failures;
};

struct writer { /* the writer's thread alone, once it runs */
	int fd; /* -1: none is open */
	uint32_t sequence, next_sequence;
	uint64_t generation;
	uint64_t bytes;  /* of the file */
	uint64_t at;     /* the next record goes here */
	uint64_t synced; /* all before it is on stable storage */
	uint32_t commits;
	struct placed_list list;
	char *buf; /* from buf_at on, not yet written */
	uint64_t buf_at;
	bool write_failed;
	struct err write_err;
	uint32_t prior; /* the last that was sealed, for the next one's head */
	uint64_t prior_end;
	int source_fd; /* where collection copies from */
	uint32_t source;
	struct buf scratch;
};

struct collect {
	struct loop_timer timer;
	bool running, in_flight;
	uint32_t victim;
	struct placed_list list;
	size_t at;
	bool postponed; /* something was left because changes of it are on their way */
	uint64_t copied_bytes;
};

struct store {
	struct custody custody;
	struct loop *loop;
	int dir_fd, lock_fd, wake_fd;
	uint64_t segment_bytes, kept_bytes;
	pthread_mutex_t lock;
	pthread_cond_t answered; /* for close */
	struct lane to_writer, to_reader;
	struct job_list done;
	size_t n_done;
	struct account account;
	struct writer writer;
	/* the loop's */
	struct loop_watch *watch;
	struct index index;
	struct segment **segments; /* ascending */
	size_t n_segments, segments_room;
	uint64_t items, live_bytes;
	uint64_t open_calls;
	bool closing, was_full, was_failing;
	struct err failure; /* the last that a commit met */
	bool *gone;         /* set where a callback closed us */
	struct collect collect;
};

/* jobs.c: lists and lanes */
void job_list_init(struct job_list *l);
void job_list_add(struct job_list *l, struct job *j);
struct job *job_list_take(struct job_list *l);
struct job *job_new(enum job_kind kind, void *arg);
void job_free(struct job *j);
void job_queue(struct store *s, struct lane *lane, struct job *j);
/* Waits; all that is queued, or NULL: stopped and empty. */
struct job *lane_take(struct store *s, struct lane *lane);
void job_done(struct store *s, struct job *j); /* any thread: to the loop */
struct job *job_answered(struct store *s);     /* the loop: the next, or NULL */
void job_wake(struct store *s);                /* the loop, where it leaves some for later */

/* state.c: what the records say, in order; live and in recovery */
struct segment *state_segment(const struct store *s, uint32_t sequence); /* NULL: none */
struct segment *state_segment_add(struct store *s, uint32_t sequence, uint64_t generation);
void state_segment_remove(struct store *s, uint32_t sequence);
void state_apply(struct store *s, uint32_t in, const struct placed *p);
void state_drop(struct store *s, struct entry *e); /* as if it had been dropped */
struct entry *state_busy(struct store *s, const struct custody_id *id, int change);
struct item_place state_place(const struct store *s, const struct entry *e);

/* recover.c: before the threads. -1: the folder cannot be read. */
int recover(struct store *s, struct err *err);

/* encode.c: one commit into the writer's buffer. -1: its body cannot be read (err). */
int encode_commit(struct store *s, struct job *j, struct err *err);
void encode_flush(struct writer *w);
/* Reads the headers of what collection copies; what is damaged is lost. False: nothing is left.
 */
bool encode_sources(struct store *s, struct job *j);

/* writer.c, reader.c: the threads */
int writer_open(struct store *s, uint64_t need, struct err *err);
void *writer_main(void *store);
void *reader_main(void *store);

/* account.c: is there room, in one place. The caller does not hold the lock. */
enum custody_result account_admit(struct store *s, const struct job_commit *c);
void account_refresh(struct store *s, bool at_once);
void account_space(struct store *s, struct custody_space *space_out);
bool account_short(struct store *s); /* collection is to hurry */
void account_log(struct store *s);   /* tells of what changed */

/* collect.c */
void collect_init(struct store *s);
void collect_wake(struct store *s); /* something may have become worth it */
void collect_loaded(struct store *s, struct job *j);
void collect_copied(struct store *s, struct job *j);
void collect_fini(struct store *s);

#endif
