/*
 * A text put under a mail, MIME-right or not at all: which parts are its body, how the text
 * goes into each of them, and the proof that nothing else has changed, by parsing the result.
 *
 * The body is the first part of multipart/mixed and related, every text of multipart/
 * alternative, or the mail itself; text/plain gets the text, text/html the HTML, the first of
 * each. A mail that is signed, encrypted, an invitation or a report is left as it is, and so is
 * one whose MIME is malformed, or whose body already ends in the text.
 */
#ifndef ENGINE_APPEND_H
#define ENGINE_APPEND_H

#include "base/append_plan.h"
#include "base/arena.h"

/* look_init has been called. text and html: UTF-8, lines with LF; html may be empty. */
void append_make(struct slice mail, struct slice text, struct slice html, struct arena *a,
	struct append_plan *plan_out);

#endif
