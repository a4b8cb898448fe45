/*
 * The mails that are one text and nothing else, told apart without a MIME parser, which costs
 * more than to look at them. What is not plainly such a mail is the parser's.
 */
#ifndef ENGINE_PLAIN_H
#define ENGINE_PLAIN_H

#include "base/slice.h"

/*
 * True: no field says anything about the content but that it is plain text, in ASCII or UTF-8
 * and not encoded, and no field is folded or encoded where its text is looked at.
 */
bool plain_mail(struct slice mail, struct slice *subject_out, struct slice *body_out);

#endif
