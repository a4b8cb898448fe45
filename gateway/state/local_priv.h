/*
 * Shared by the files of the engine on local files; nobody else includes it. local.c the calls,
 * entry.c what an operation does to one entry (no I/O), record.c an entry on disk, period.c the
 * calendar, hot.c the table in memory, disk.c the environment, check.c whether its file can be
 * mapped, writer.c the thread that writes, list.c what people see.
 */
#ifndef STATE_LOCAL_PRIV_H
#define STATE_LOCAL_PRIV_H

#include <lmdb.h>
#include <pthread.h>

#include "state/local.h"

enum {
	KEY_MOST = STATE_KEY_MOST + 8,       /* with "passer " in front */
	RECORD_MOST = STATE_VALUE_MOST + 64, /* on disk */
};

/* ---- period.c ---- */

/* The numbers of the periods that a time is in: days, ISO weeks, months by local time. */
struct calendar {
	int64_t of_s; /* for this second; -1: not yet */
	int64_t now[PERIODS];
};
void calendar_set(struct calendar *c, uint64_t wall_ms);
int64_t calendar_number(enum state_period p, uint64_t wall_ms);
/* When a period that comes begins, as seen from now; now: it has begun. */
uint64_t calendar_start_ms(enum state_period p, int64_t number, uint64_t now_ms);

/* ---- entry.c ---- */

enum entry_type {
	ENTRY_NONE,
	ENTRY_BUCKET,
	ENTRY_COUNTER,
	ENTRY_TUPLE,
	ENTRY_PASSER,
	ENTRY_MEMO,
	ENTRY_TYPES
};

struct entry {
	struct entry *next; /* of its bucket in the table */
	uint64_t at_ms;     /* when the rest was so; TUPLE: noted, or passed last */
	union {
		struct {
			/* The level is wait_ms * limit + rest, in parts of 1/span_ms token: it
			 * sinks by `limit` parts a millisecond and is exact. */
			uint64_t wait_ms, span_ms;
			uint64_t low_ms; /* when less than one token was in use, last */
			uint32_t limit, rest;
		} bucket;
		struct {
			int64_t number; /* of the period */
			uint32_t limit, count;
			enum state_period period;
		} counter;
		struct {
			uint64_t keep_ms; /* gone so long after at_ms */
			uint64_t passes;  /* PASSER */
			char *value;      /* MEMO; owned */
			uint32_t value_n;
			bool passed; /* TUPLE */
		} kept;
	} u;
	uint32_t slot; /* hot.c */
	uint16_t key_n;
	uint8_t space, type;
	bool touched; /* by entry_apply: is to be written */
	bool changed; /* likewise, and stands in the table's list: since the writer last had it
		       */
	bool writing; /* the writer has it: not yet known to be on disk */
	bool used;    /* since the hand last passed */
	bool pinned;  /* an operation is at it */
	char key[];
};

struct slice entry_key(const struct entry *e);
struct moment {
	uint64_t ms;
	const struct calendar *calendar;
};
/* The operation on the entry of its key, and of its passer (SEEN, PASS; NULL: none). The
 * answer's value lives until the entry changes. */
void entry_apply(struct entry *e, struct entry *passer, const struct state_op *op,
	const struct moment *at, struct state_answer *answer_out);
/* Nothing is in use, or its time is over: it is as if it were not there. */
bool entry_is_over(const struct entry *e, const struct moment *at);
void entry_show(const struct entry *e, const struct moment *at, struct state_item *item_out);
void entry_clear(struct entry *e); /* to ENTRY_NONE */
/* ---- record.c ---- */

/* As on disk. False: no record of this release; the entry is NONE. */
size_t entry_pack(const struct entry *e, char record[RECORD_MOST]);
bool entry_unpack(struct slice record, struct entry *e);

/* ---- hot.c ---- */

struct hot {
	struct entry **buckets;
	size_t n_buckets;
	struct entry **slots; /* all of them, in any order: what the hand goes over */
	size_t n, room, most;
	size_t hand;
	struct entry **changed;
	size_t n_changed, room_changed;
};
void hot_init(struct hot *h, size_t most);
void hot_fini(struct hot *h);
struct entry *hot_find(const struct hot *h, enum state_space space, struct slice key);
/* A new one, ENTRY_NONE; another is let go where there is no room. NULL: all wait for the
 * writer. */
struct entry *hot_add(struct hot *h, enum state_space space, struct slice key);
void hot_changed(struct hot *h, struct entry *e); /* it is to be written */
void hot_all_changed(struct hot *h);              /* a fresh file: everything is */
/* Looks at n of them, and frees those that are over. */
void hot_tidy(struct hot *h, size_t n, const struct moment *at);
void hot_remove(struct hot *h, struct entry *e); /* neither changed nor writing */

/* ---- check.c ---- */

/* Whether LMDB can map and walk the file: 1 it can, 0 empty or not there, -1 err: damaged. */
int check_file(int dir_fd, const char *name, struct err *err);

/* ---- disk.c ---- */

struct disk {
	int dir_fd;
	uint64_t map_bytes;
	MDB_env *env; /* NULL: in memory alone */
	MDB_dbi spaces[STATE_SPACES];
	MDB_txn *reader; /* reset between uses */
	unsigned page_bytes;
};
/* 0, or -1 and err: env is NULL. *fresh_out: an empty one was begun. */
int disk_open(struct disk *d, bool *fresh_out, struct err *err);
void disk_close(struct disk *d);
void disk_set_aside(struct disk *d, const char *why); /* closed, renamed, told */
bool disk_is_damage(int code); /* the file is, not the disk full or the call wrong */
int disk_err(struct err *err, int code, const char *what); /* -1 */
/* Reading, in the loop's thread: 0 or a code of LMDB's. What is read lives until the end. */
int disk_read_begin(struct disk *d, MDB_txn **txn_out);
int disk_read(struct disk *d, MDB_txn *txn, enum state_space space, struct slice key,
	MDB_val *record_out); /* MDB_NOTFOUND */
void disk_read_end(struct disk *d);

/* ---- writer.c ---- */

struct record { /* of a batch: bytes at `at`: key, then the packed entry; none: to be deleted */
	size_t at;
	uint16_t key_n, record_n;
	uint8_t space;
};

struct walk { /* over a space: where it goes on; key_n 0: from its beginning */
	char key[KEY_MOST];
	size_t key_n;
};

struct writer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t to_do, done;
	bool running, busy, end;
	/* of the batch under way; the thread's while busy */
	struct disk *disk;
	char *bytes;
	size_t n_bytes, room_bytes;
	struct record *records;
	size_t n_records, room_records;
	struct moment at;
	struct calendar calendar;
	size_t entries_most;
	struct walk sweep[STATE_SPACES], samples[STATE_SPACES];
	/* outcome */
	int code; /* 0, or what LMDB says */
	uint64_t disk_entries, evicted, writes;
	struct entry **flight; /* the loop's: what the records were made of */
	size_t n_flight, room_flight;
};
void writer_start(struct writer *w, struct disk *d, size_t entries_most);
void writer_stop(struct writer *w);
void writer_add(struct writer *w, struct entry *e, const struct moment *at); /* not busy */
void writer_go(struct writer *w, const struct moment *at);                   /* the batch */
bool writer_is_busy(struct writer *w);
void writer_wait(struct writer *w);

/* ---- local.c ---- */

struct local {
	struct state state;
	struct local_config config;
	struct hot hot;
	struct disk disk;
	struct writer writer;
	struct calendar calendar;
	struct entry *spare[2]; /* where the table has no room: counted with, not kept */
	uint64_t failures, disk_entries;
	uint64_t lost; /* operations that the table had no room to remember, since the last
			  flush */
	bool lost_told, told;       /* of that; that the disk does not work */
	bool reading;               /* a transaction is open, for the time of an ask */
	unsigned pause, next_pause; /* flushes for which a disk that failed is left alone */
	bool under_way;             /* a batch, whose outcome was not looked at yet */
	bool broken;                /* the environment is to be opened anew: a read failed */
	int broken_code;
};
/* list.c */
void local_list(struct state *s, enum state_space space, struct slice prefix, struct slice from,
	state_page_fn *fn, void *arg);
void local_moment(struct local *l, struct moment *at_out);
void local_read_failed(struct local *l, int code);

#endif
