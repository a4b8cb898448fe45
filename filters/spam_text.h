/*
 * What a judgement was made of, in words: for the fact spam.why, the log, `postern explain` and
 * the header X-Spam-Evidence. Details are out of mails: what is written is printable ASCII,
 * without what would end a comment or an item of the field, and bounded.
 */
#ifndef FILTERS_SPAM_TEXT_H
#define FILTERS_SPAM_TEXT_H

#include "base/arena.h"
#include "filters/spam_score.h"

#define SPAM_FIELD "X-Spam-Evidence"

enum { SPAM_DETAIL_MOST = 60, SPAM_WORDS_MOST = 900 };

/* "dmarc.fail +1.20 (p=reject)" */
struct slice spam_piece_text(const struct spam_piece *p, struct arena *a);
/* All of them, ", " between; at most SPAM_WORDS_MOST bytes, whole pieces. */
struct slice spam_why_text(const struct spam_judgement *j, struct arena *a);
/*
 * "X-Spam-Evidence: HOSTNAME; spam=0.973; dmarc.fail=+1.20 (p=reject); ...", folded, with its
 * CRLF; as many of the strongest as fit SPAM_WORDS_MOST bytes.
 */
struct slice spam_field(struct slice hostname, const struct spam_judgement *j, struct arena *a);

#endif
