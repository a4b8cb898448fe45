/*
 * Archives and compressed files, by libarchive: each member goes to look_file, names and sizes
 * to the report. What is encrypted, damaged or over a bound is told, and what could be read of
 * it is looked at all the same.
 */
#ifndef ENGINE_ARCHIVE_H
#define ENGINE_ARCHIVE_H

#include "engine/kind.h"
#include "engine/look.h"

/* found_out: whether a member is encrypted; the type, where its members tell (DOCX, ODF). */
void archive_look(
	struct look *l, const struct look_file *f, enum kind k, struct look_found *found_out);

#endif
