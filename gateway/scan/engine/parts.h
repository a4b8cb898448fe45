/*
 * The parts of a mail, by GMime: names and declared types of attachments; what a part holds is
 * looked at by look.h. Bounds on depth and parts; what is beyond them makes the mail
 * unscannable.
 */
#ifndef ENGINE_PARTS_H
#define ENGINE_PARTS_H

#include "base/arena.h"
#include "base/scan_report.h"
#include "engine/look.h"
#include "engine/patterns.h"

enum { PARTS_MOST = 1000, PARTS_DEPTH_MOST = 32 };

void parts_init(void); /* once in a process */
/*
 * Appends attachments (depth 0) to r and, where patterns is not NULL, counts the matches in the
 * text parts, in documents and in the subject. want: SCAN_WANT_...; ms: for how long at most.
 * Over a bound: r->status SCAN_UNSCANNABLE unless something worse is there.
 */
void parts_scan(struct slice mail, unsigned want, const struct pattern_set *patterns,
	unsigned ms, struct arena *a, struct scan_report *r);
/* A mail inside of an archive: its parts are looked at, and are attachments of that depth. */
void parts_walk_inside(struct look *l, struct slice mail, unsigned depth);

#endif
