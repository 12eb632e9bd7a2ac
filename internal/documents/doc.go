// Package documents holds only tests: what the documents say is tried, so that
// it stays true. Their commands are run and their output compared, the
// transcript and the figures of README.md are played again, links must lead
// somewhere, and what they name must exist.
//
// What is generated from one package is kept fresh by that package's own tests;
// here is what needs the built program, or all documents together.
package documents
