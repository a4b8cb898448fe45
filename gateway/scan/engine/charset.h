/*
 * Text in any charset as UTF-8, by iconv. The tables that mail uses are loaded before the
 * workers are forked: behind their sandbox no file can be opened.
 */
#ifndef ENGINE_CHARSET_H
#define ENGINE_CHARSET_H

#include "base/buf.h"

enum charset_result {
	CHARSET_AS_IT_IS, /* UTF-8, ASCII, or what nobody declared: nothing was written */
	CHARSET_DECODED,
	CHARSET_UNKNOWN, /* declared, not known, and it is not UTF-8 either */
};

void charset_init(void); /* once in a process */
/* A mark of UTF-16, UTF-32 or UTF-8 at the front is believed before the charset. What does not
 * decode becomes U+FFFD; what does not fit into out is left away (the caller bounds bytes). */
enum charset_result charset_decode(struct slice bytes, struct slice charset, struct buf *out);
/* The ASCII that stands in 16 bits a character in other bytes; others become line ends. */
void charset_narrow(struct slice bytes, struct buf *out);
void charset_put(struct buf *out, uint32_t code_point); /* as UTF-8 */
/* One character: its bytes, 0 at the end. What is no UTF-8 is one byte, code point UINT32_MAX.
 */
size_t charset_next(struct slice utf8, uint32_t *code_point_out);

#endif
