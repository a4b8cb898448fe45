/*
 * Packets of the milter protocol as an MTA sends them, from text. A line is a command letter
 * and its data, '~' for NUL and '|' for LF; "O" has version, actions and steps in hex.
 */
#ifndef TEST_MILTER_SCRIPT_H
#define TEST_MILTER_SCRIPT_H

#include "base/buf.h"

void milter_script_packet(struct buf *out, char command, struct slice data);
void milter_script_add(struct buf *out, const char *script);

#endif
