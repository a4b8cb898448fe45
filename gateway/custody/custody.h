/*
 * What 250 means: mails on stable storage (DESIGN.md, "Custody"; STORE.md). A store keeps
 * items: an envelope and a body that never change, and a note that is replaced as the queue
 * learns more. It does not know what is in them. One interface, several engines: segments.h
 * (append-only files, group commit), fault.h (another engine with faults put in); a shared
 * database comes later, so nobody may assume that the store is local.
 *
 * Everything is asynchronous: callbacks come from the loop, once for each call, never from
 * inside it. Calls are batched: one commit may change many items, and many commits travel
 * together. One thread, one loop; an engine may have threads of its own behind it.
 */
#ifndef CUSTODY_CUSTODY_H
#define CUSTODY_CUSTODY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "io/loop.h"
#include "relay/body.h"

enum { CUSTODY_ID_BYTES = 16, CUSTODY_ID_TEXT = 2 * CUSTODY_ID_BYTES + 1 };

struct custody_id { /* made by whoever puts an item, before it is put; random */
	uint8_t bytes[CUSTODY_ID_BYTES];
};

enum {
	CUSTODY_ENVELOPE_MOST = 4 * 1024 * 1024, /* 10,000 recipients fit */
	CUSTODY_NOTE_MOST = 8 * 1024 * 1024,
	CUSTODY_CHANGES_MOST = 1000, /* in one commit */
	CUSTODY_SCAN_MOST = 1000,    /* items in one answer of scan */
};

enum custody_op {
	CUSTODY_PUT,  /* a new item; the same id again is a success that changes nothing */
	CUSTODY_NOTE, /* the item's note from now on; of an id that is not there: nothing */
	CUSTODY_DROP, /* the item is gone; of an id that is not there: a success */
};

struct custody_change {
	enum custody_op op;
	struct custody_id id;
	struct slice envelope;         /* PUT */
	struct slice note;             /* PUT (may be empty), NOTE */
	const struct relay_body *body; /* PUT; its bytes and files are borrowed until fn */
};

enum custody_result {
	CUSTODY_OK,   /* on stable storage, all changes of the commit */
	CUSTODY_FULL, /* no room (452): nothing is stored. DROP and NOTE have room kept back */
	CUSTODY_FAILED,  /* a write or sync failed (451): nothing of it may be relied on, and
			    nothing of it comes back after a restart */
	CUSTODY_UNKNOWN, /* nobody can say now: ask resolve before anything is said */
};
const char *custody_result_text(enum custody_result r);

struct custody;

/* why: words for the log, valid in the call; empty for OK. */
typedef void custody_commit_fn(void *arg, enum custody_result r, struct slice why);
/* there[i] belongs to ids[i]. FAILED: the store does not answer now. */
typedef void custody_resolve_fn(void *arg, enum custody_result r, const bool *there, size_t n);
/* Valid in the call. Fewer bytes than asked for: the end of the body. FAILED: damaged, or not
 * there. */
typedef void custody_body_fn(void *arg, enum custody_result r, struct slice bytes);

struct custody_item {
	struct custody_id id;
	struct slice envelope, note; /* valid in the call */
	uint64_t body_bytes;
};
/*
 * A part of a scan: n items, and where the next call goes on; end: there is nothing behind.
 * Items put or dropped meanwhile may be missing or there; all others come once.
 */
typedef void custody_scan_fn(void *arg, enum custody_result r, const struct custody_item *items,
	size_t n, uint64_t next, bool end);

struct custody_space {
	uint64_t items;           /* that are there */
	uint64_t live_bytes;      /* of their envelopes, notes and bodies */
	uint64_t used_bytes;      /* on disk, segments to be recycled too */
	uint64_t free_bytes;      /* of the file system, for us */
	uint64_t kept_bytes;      /* held back for DROP, NOTE and collection */
	bool full;                /* a PUT would be refused */
	bool failing;             /* the last write or sync failed: suspend deliveries */
	uint64_t syncs, failures; /* since the start */
	uint64_t collected_bytes; /* copied by collection since the start */
	uint64_t memory_bytes;    /* of the index */
};

struct custody_ops {
	/* What changes and bodies point to is borrowed until fn. Order is kept: a later commit
	 * is never there without an earlier one. */
	void (*commit)(struct custody *c, const struct custody_change *changes, size_t n,
		custody_commit_fn *fn, void *arg);
	void (*resolve)(struct custody *c, const struct custody_id *ids, size_t n,
		custody_resolve_fn *fn, void *arg);
	/* length: at most 1 MiB. */
	void (*body_read)(struct custody *c, const struct custody_id *id, uint64_t offset,
		size_t length, custody_body_fn *fn, void *arg);
	/* One item, by its id: n 0 where it is not there. */
	void (*get)(
		struct custody *c, const struct custody_id *id, custody_scan_fn *fn, void *arg);
	/* from: 0, or `next` of the last answer; most: up to CUSTODY_SCAN_MOST. */
	void (*scan)(
		struct custody *c, uint64_t from, size_t most, custody_scan_fn *fn, void *arg);
	void (*space)(struct custody *c, struct custody_space *space_out); /* at once */
	/* Waits for what is under way; open calls are answered first, from inside. */
	void (*close)(struct custody *c);
};

struct custody { /* every engine's object begins with it */
	const struct custody_ops *ops;
};

/* The calls, for readers: custody_commit(c, ...) is c->ops->commit(c, ...). */
static inline void
custody_commit(struct custody *c, const struct custody_change *changes, size_t n,
	custody_commit_fn *fn, void *arg)
{
	c->ops->commit(c, changes, n, fn, arg);
}

static inline void
custody_resolve(struct custody *c, const struct custody_id *ids, size_t n,
	custody_resolve_fn *fn, void *arg)
{
	c->ops->resolve(c, ids, n, fn, arg);
}

static inline void
custody_body_read(struct custody *c, const struct custody_id *id, uint64_t offset,
	size_t length, custody_body_fn *fn, void *arg)
{
	c->ops->body_read(c, id, offset, length, fn, arg);
}

static inline void
custody_get(struct custody *c, const struct custody_id *id, custody_scan_fn *fn, void *arg)
{
	c->ops->get(c, id, fn, arg);
}

static inline void
custody_scan(struct custody *c, uint64_t from, size_t most, custody_scan_fn *fn, void *arg)
{
	c->ops->scan(c, from, most, fn, arg);
}

static inline void
custody_space(struct custody *c, struct custody_space *space_out)
{
	c->ops->space(c, space_out);
}

void custody_close(struct custody **c); /* takes NULL, clears */

struct custody_id custody_id_new(void);
bool custody_id_eq(const struct custody_id *a, const struct custody_id *b);
/* 32 characters, lower case hexadecimal. */
const char *custody_id_text(const struct custody_id *id, char buf[CUSTODY_ID_TEXT]);
bool custody_id_parse(struct slice text, struct custody_id *id_out);

#endif
