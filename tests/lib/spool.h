/*
 * A store of custody for a test: a folder of its own, a loop, and its calls made one at a time,
 * each waited for. What does not answer within twenty seconds fails the test.
 */
#ifndef TESTS_SPOOL_H
#define TESTS_SPOOL_H

#include "base/arena.h"
#include "base/buf.h"
#include "custody/custody.h"
#include "custody/fault.h"
#include "custody/segments.h"
#include "io/loop.h"

struct spool {
	char path[64];
	int dir_fd;
	struct loop *loop;
	struct custody *custody; /* NULL: closed */
	bool with_fault;         /* opened behind a fault engine */
	uint64_t segment_bytes, kept_bytes;
	struct loop_timer late;
};

struct spool_item {
	struct custody_id id;
	struct buf envelope, note;
	uint64_t body_bytes;
};

struct spool_items {
	struct spool_item *p;
	size_t n;
};

void spool_folder(char path_out[64]);                     /* a new one */
void spool_make(struct spool *s, uint64_t segment_bytes); /* a new folder; opened */
void spool_make_at(struct spool *s, const char *path, uint64_t segment_bytes);
void spool_open(struct spool *s);
int spool_try_open(struct spool *s, struct err *err);
void spool_close(struct spool *s);
void spool_drop_all(struct spool *s); /* closes, removes the folder */
/* Runs the loop until *done; for so many milliseconds. */
void spool_wait(struct spool *s, const bool *done);
void spool_run(struct spool *s, uint64_t ms);

enum custody_result
spool_commit(struct spool *s, const struct custody_change *changes, size_t n);
enum custody_result spool_put(struct spool *s, struct custody_id id, struct slice envelope,
	struct slice note, struct slice body);
enum custody_result spool_note(struct spool *s, struct custody_id id, struct slice note);
enum custody_result spool_drop(struct spool *s, struct custody_id id);
/* The part is appended to out. */
enum custody_result spool_body(
	struct spool *s, struct custody_id id, uint64_t offset, size_t length, struct buf *out);
/* All of it, checked against what is wanted. */
void spool_check_body(struct spool *s, struct custody_id id, struct slice wanted);
/* 1: there, 0: not, -1: FAILED. */
int spool_get(struct spool *s, struct custody_id id, struct spool_item *item_out);
void spool_scan(struct spool *s, size_t most, struct spool_items *items_out);
void spool_item_fini(struct spool_item *i);
void spool_items_fini(struct spool_items *l);
bool spool_there(struct spool *s, struct custody_id id); /* by resolve */

/* An id made of a number, always the same. */
struct custody_id spool_id(uint64_t number);
/* Bytes that depend on the seed, in the caller's buffer. */
struct slice spool_bytes(char *to, size_t n, uint64_t seed);

#endif
