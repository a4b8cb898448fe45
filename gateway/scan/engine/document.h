/*
 * Text of documents: the XML of DOCX, XLSX, PPTX and ODF by libxml2's reader. No entity is
 * expanded, nothing is fetched; what cannot be read is told.
 */
#ifndef ENGINE_DOCUMENT_H
#define ENGINE_DOCUMENT_H

#include <stdint.h>

#include "base/buf.h"

void document_init(void); /* once in a process, before its sandbox */
/*
 * The text of one XML member: runs of a paragraph are joined, paragraphs and cells stand on
 * lines of their own, numbers of cells as they are shown. 0, or -1: broken, or over out's
 * bound; what was read up to there is in out.
 */
int document_xml_text(struct slice xml, struct buf *out);
uint32_t document_entity(const char *name); /* of HTML, without & and ;. 0: there is none */
/* An OLE storage that holds an encrypted document, new (ECMA-376) or old. */
bool document_ole_encrypted(struct slice ole);

#endif
