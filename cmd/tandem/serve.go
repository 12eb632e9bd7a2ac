package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/app"
	"tandem/internal/config"
)

// grace is how long running invocations may go on after a signal. The host
// itself kills without one (functions-host.md 1.5).
const grace = 5 * time.Second

func newServe(c *console) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Be the custom handler of the function app",
		Long: `Serve is what the Functions host starts. It listens on the loopback port that
the host gives, and reads its settings from the environment (docs/configuration.md).
Without a host nobody brings it the timer and the messages of its queue, so it
serves the operator API and looks at no pair.`,
		Example: `  func start --script-root build/app
  FUNCTIONS_CUSTOMHANDLER_PORT=7072 TANDEM_STORAGE=UseDevelopmentStorage=true tandem serve`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), c) },
	}
}

// serve runs until the signal comes. It logs to standard output, because every
// line on standard error is an error to the host (functions-host.md 0.1), and
// never ends with exit code 0 by itself, which the host would take for good.
func serve(ctx context.Context, c *console) error {
	if c.setting("GOGC") == "" {
		// Memory is what a small instance is short of; a pass waits far longer
		// for its units than for a collection.
		debug.SetGCPercent(50)
	}
	settings, err := config.Load(c.environ)
	if err != nil {
		return badInput("the settings are wrong:\n%w", err)
	}
	log := slog.New(slog.NewJSONHandler(c.out, &slog.HandlerOptions{Level: settings.LogLevel}))
	options, err := app.FromSettings(settings, c.worker(), log)
	if err != nil {
		return err
	}
	program, err := app.New(options)
	if err != nil {
		return err
	}
	defer program.Close()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", settings.Address())
	if err != nil {
		return fmt.Errorf("listen for the Functions host: %w", err)
	}
	log.InfoContext(ctx, "serving", "address", l.Addr().String(), "version", version, "store", settings.Store.String(), "maxMode", settings.MaxMode.String())
	return app.Serve(ctx, l, program.Handler(), log, grace)
}

// worker names this process in leases. The host gives each handler an id of
// its own; elsewhere host name and process id do.
func (c *console) worker() string {
	if id := c.setting("FUNCTIONS_CUSTOMHANDLER_WORKER_ID"); id != "" {
		return id
	}
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	return fmt.Sprintf("%s-%d", strings.ToLower(name), os.Getpid())
}

func newVersion(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: `  tandem version -o json`,
		Args:    cobra.NoArgs,
	}
	cmd.RunE = func(*cobra.Command, []string) error {
		if output(cmd) == "json" {
			return writeJSON(c.out, map[string]string{"version": version})
		}
		_, err := fmt.Fprintln(c.out, version)
		return err
	}
	addOutput(cmd)
	return cmd
}
