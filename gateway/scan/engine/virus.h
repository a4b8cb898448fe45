/*
 * libclamav, the only place that includes it: signatures loaded once, mails in memory scanned,
 * and what it saw inside of archives on the way. Not thread-safe; forked workers share what is
 * loaded.
 */
#ifndef ENGINE_VIRUS_H
#define ENGINE_VIRUS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/scan_report.h"

struct virus_engine;

struct virus_limits {
	uint64_t scan_bytes;   /* unpacked, of one mail */
	uint64_t file_bytes;   /* of one member */
	unsigned files, depth; /* members, nesting */
	unsigned time_ms;
};
extern const struct virus_limits virus_limits_default;

/* database: a file or folder of signatures; NULL: none, for names inside archives alone. */
struct virus_engine *virus_engine_new(const char *database, const char *tmp_dir,
	const struct virus_limits *limits, struct err *err);
void virus_engine_free(struct virus_engine **e);
unsigned virus_engine_signatures(const struct virus_engine *e);
/* Of the set that was loaded: differs where the files of the database differ. 0: none. */
uint64_t virus_engine_fingerprint(const struct virus_engine *e);
/*
 * Scans one mail. One that is over a bound already gets a few seconds: only whether it is
 * infected too is then asked. Fills status, virus, why, and appends what it found inside to the
 * attachments (depth 1 and more; at most SCAN_ATTACHMENTS_MOST in all), with their hashes if
 * asked for. Over a limit: SCAN_UNSCANNABLE.
 */
void virus_engine_scan(struct virus_engine *e, struct slice mail, bool hash, struct arena *a,
	struct scan_report *r);

#endif
