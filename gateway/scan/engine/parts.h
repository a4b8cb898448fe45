/*
 * The parts of a mail, by GMime: names and declared types of attachments, and the decoded text
 * for patterns. Bounds on depth, parts and bytes; what is beyond them makes the mail
 * unscannable.
 */
#ifndef ENGINE_PARTS_H
#define ENGINE_PARTS_H

#include "base/arena.h"
#include "base/scan_report.h"
#include "engine/patterns.h"

enum { PARTS_MOST = 1000, PARTS_DEPTH_MOST = 32, PARTS_TEXT_MOST = 16 * 1024 * 1024 };

void parts_init(void); /* once in a process */
/*
 * Appends attachments (depth 0) to r and, where patterns is not NULL, counts the matches in the
 * text parts and the subject. Over a bound: r->status SCAN_UNSCANNABLE unless something worse
 * is there.
 */
void parts_scan(struct slice mail, const struct pattern_set *patterns, struct arena *a,
	struct scan_report *r);

#endif
