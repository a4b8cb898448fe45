/*
 * The text in the XML of documents, by libxml2's reader: it goes forward, keeps nothing, and is
 * told to expand no entity and to fetch nothing. One walk serves DOCX, PPTX, XLSX and ODF:
 * what their elements do to text is told by a few names.
 */
#include "engine/document.h"

#include <libxml/HTMLparser.h>
#include <libxml/xmlreader.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MOST = 256, NUMBER_BYTES = 64 };

struct walk {
	xmlTextReaderPtr reader;
	struct buf *out;
	bool shared; /* in a cell whose value is the index of a shared string */
	bool value;  /* in a <v>, where a number stands */
	bool held;   /* text stood in the element that is open, behind any other */
	bool full;
};

static xmlParserInputPtr
refuse_entity(const char *url, const char *id, xmlParserCtxtPtr context)
{
	(void)url;
	(void)id;
	(void)context;
	return NULL;
}

static void
be_silent(void *arg, const char *text, ...)
{
	(void)arg;
	(void)text;
}

void
document_init(void)
{
	xmlInitParser();
	xmlSetExternalEntityLoader(refuse_entity);
	xmlSetGenericErrorFunc(NULL, be_silent);
}

uint32_t
document_entity(const char *name)
{
	const htmlEntityDesc *e = htmlEntityLookup((const xmlChar *)name);
	return e != NULL ? e->value : strcmp(name, "apos") == 0 ? '\'' : 0;
}

static bool
is_one(const char *name, const char *const *names)
{
	for (; *names != NULL; names++)
		if (strcmp(name, *names) == 0)
			return true;
	return false;
}

static void
add(struct walk *w, struct slice s)
{
	w->full |= buf_add(w->out, s) < 0;
}

/* "4.1111111111111111E+15" as a sheet shows it, beside what is written. */
static void
add_number(struct walk *w, const char *text)
{
	char shown[NUMBER_BYTES], *end;
	if (strpbrk(text, "eE") == NULL)
		return;
	double v = strtod(text, &end);
	if (end == text || *end != '\0' || !(v > -1e20 && v < 1e20))
		return;
	snprintf(shown, sizeof(shown), " %.0f", v);
	add(w, slice_of(shown));
}

static void
add_attribute(struct walk *w, const char *name)
{
	xmlChar *v = xmlTextReaderGetAttribute(w->reader, (const xmlChar *)name);
	if (v == NULL)
		return;
	add(w, slice_of((const char *)v));
	add_number(w, (const char *)v);
	add(w, SLICE("\n"));
	xmlFree(v);
}

static bool
attribute_is(struct walk *w, const char *name, const char *value)
{
	xmlChar *v = xmlTextReaderGetAttribute(w->reader, (const xmlChar *)name);
	bool is = v != NULL && strcmp((const char *)v, value) == 0;
	xmlFree(v);
	return is;
}

static void
begin(struct walk *w, const char *name)
{
	static const char *const breaks[] = {"br", "cr", "line-break", NULL};
	w->held = false;
	if (strcmp(name, "c") == 0)
		w->shared = attribute_is(w, "t", "s");
	else if (strcmp(name, "v") == 0)
		w->value = true;
	else if (strcmp(name, "tab") == 0)
		add(w, SLICE("\t"));
	else if (strcmp(name, "s") == 0 || strcmp(name, "noBreakHyphen") == 0)
		add(w, strcmp(name, "s") == 0 ? SLICE(" ") : SLICE("-"));
	else if (is_one(name, breaks))
		add(w, SLICE("\n"));
	else if (strcmp(name, "table-cell") == 0)
		add_attribute(w, "office:value");
}

/* Runs and links stand within a line; paragraphs, cells, and whatever else held text end one.
 */
static void
end(struct walk *w, const char *name)
{
	static const char *const lines[] = {"p", "h", "tc", "tr", "c", "si", "is", "row",
		"list-item", "table-cell", "comment", NULL};
	static const char *const within[] = {
		"t", "delText", "span", "a", "ruby-base", "bookmark-ref", "sequence", NULL};
	struct slice s = buf_slice(w->out);
	bool held = w->held;
	w->held = false;
	if (strcmp(name, "v") == 0)
		w->value = false;
	if (strcmp(name, "c") == 0)
		w->shared = false;
	if ((is_one(name, lines) || (held && !is_one(name, within))) && s.n != 0 &&
		s.p[s.n - 1] != '\n')
		add(w, SLICE("\n"));
}

static void
text(struct walk *w)
{
	const char *value = (const char *)xmlTextReaderConstValue(w->reader);
	if (value == NULL || (w->shared && w->value))
		return;
	add(w, slice_of(value));
	w->held = true;
	if (w->value)
		add_number(w, value);
}

/* Blanks between elements: where they break lines they are layout. */
static void
blanks(struct walk *w)
{
	const char *value = (const char *)xmlTextReaderConstValue(w->reader);
	if (value != NULL && strchr(value, '\n') == NULL)
		add(w, SLICE(" "));
}

static int
one_node(struct walk *w)
{
	const char *name = (const char *)xmlTextReaderConstLocalName(w->reader);
	if (xmlTextReaderDepth(w->reader) > DEPTH_MOST)
		return -1;
	switch (xmlTextReaderNodeType(w->reader)) {
	case XML_READER_TYPE_ELEMENT:
		begin(w, name != NULL ? name : "");
		if (xmlTextReaderIsEmptyElement(w->reader) == 1)
			end(w, name != NULL ? name : "");
		return 0;
	case XML_READER_TYPE_END_ELEMENT: end(w, name != NULL ? name : ""); return 0;
	case XML_READER_TYPE_TEXT:
	case XML_READER_TYPE_CDATA: text(w); return 0;
	case XML_READER_TYPE_SIGNIFICANT_WHITESPACE: blanks(w); return 0;
	case XML_READER_TYPE_ENTITY_REFERENCE:
		return -1; /* it could be anything: none is expanded */
	default: return 0;
	}
}

int
document_xml_text(struct slice xml, struct buf *out)
{
	struct walk w = {.out = out};
	if (xml.n == 0) /* LibreOffice has members of no bytes */
		return 0;
	if (xml.n > INT32_MAX)
		return -1;
	w.reader = xmlReaderForMemory(xml.p, (int)xml.n, NULL, NULL,
		XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_COMPACT);
	if (w.reader == NULL)
		return -1;
	int more;
	while ((more = xmlTextReaderRead(w.reader)) == 1 && !w.full)
		if (one_node(&w) < 0) {
			more = -1;
			break;
		}
	xmlFreeTextReader(w.reader);
	return more == 0 && !w.full ? 0 : -1;
}
