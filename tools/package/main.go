// Command package stages the function app and zips it: `make app` and `make
// package`.
//
//	package stage BINARY DIR    lay out the script root in DIR
//	package zip DIR FILE        pack DIR, which must be a script root
//
// What comes out depends only on what goes in, not on when, where or by whom it
// was run, so two builds of one commit can be compared byte for byte.
package main

import (
	"errors"
	"fmt"
	"os"

	"tandem"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "package: "+err.Error())
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("expected: stage BINARY DIR, or zip DIR FILE")
	}
	switch verb, from, to := args[0], args[1], args[2]; verb {
	case "stage":
		app, err := tandem.FunctionApp()
		if err != nil {
			return err
		}
		return stage(app, from, to)
	case "zip":
		return zipApp(from, to)
	default:
		return fmt.Errorf("%q: expected stage or zip", verb)
	}
}
