/*
 * Text as a reader sees it, out of HTML and RTF: tags and comments off, entities decoded, what
 * is shown in one run joined, what stands apart set apart. It need not be right where a browser
 * would guess; the bytes as they are written are searched besides.
 */
#ifndef ENGINE_MARKUP_H
#define ENGINE_MARKUP_H

#include "base/buf.h"

/* What does not fit into out is left away; nothing becomes longer than it was. */
void markup_text(struct slice html, struct buf *out);
void markup_rtf_text(struct slice rtf, struct buf *out);
/*
 * Characters that are not seen are left out; odd spaces, dashes and wide digits become plain
 * ones. False: there were none, and nothing was written.
 */
bool markup_tidy(struct slice utf8, struct buf *out);

#endif
