/* A snapshot from a text, for tests: the parser wants a file, so one is written and gone again.
 */
#ifndef TEST_CONF_TEXT_H
#define TEST_CONF_TEXT_H

#include "conf/conf.h"

/* Fails the test where the text has errors. */
struct conf *conf_text(const char *text);

#endif
