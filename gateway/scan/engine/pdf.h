/*
 * The text of PDF documents, by Poppler's GLib interface: of all pages, and of files that are
 * attached. No font is looked for, nothing is drawn. Encrypted ones that open without a
 * password are read.
 */
#ifndef ENGINE_PDF_H
#define ENGINE_PDF_H

#include "engine/look.h"

void pdf_init(void); /* once in a process, before its sandbox */
void pdf_look(struct look *l, const struct look_file *f, struct look_found *found_out);

#endif
