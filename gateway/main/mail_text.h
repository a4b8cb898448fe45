/*
 * A mail as text for a person at a terminal (`postern quarantine show --text`): its header,
 * then its text parts decoded; of all other parts what they say they are. No byte of it can
 * move a cursor or turn the writing direction. Pure but for the file it prints to.
 */
#ifndef MAIN_MAIL_TEXT_H
#define MAIN_MAIL_TEXT_H

#include <stdio.h>

#include "base/slice.h"

enum { MAIL_TEXT_PARTS_MOST = 200, MAIL_TEXT_DEPTH_MOST = 16 };

void mail_text(FILE *f, struct slice mail);
/* Bytes that are UTF-8, latin: ISO 8859-1; what is neither, and controls, as '?'. */
void mail_text_safe(FILE *f, struct slice text, bool latin);

#endif
