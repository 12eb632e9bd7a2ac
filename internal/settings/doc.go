// Package settings says what the settings of a pair must be, and what has to be
// written to which unit so that both have them. It knows every class of setting
// that a unit can be asked for, its identity on both units and its normal form,
// and merges what both units have with what they last had in common.
//
// It is pure: answers of the units come in as trees of names and texts, and what
// is to be written goes out as values. How a value is written is said here too, as
// calls, each of which follows from the answers before; making them, waiting for the
// vendor's own sync and keeping the common state are left to others.
//
// What must stay on its unit cannot become a Write: only this package makes
// them, and it makes none of what the inventory does not call synchronised.
package settings
