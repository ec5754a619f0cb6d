// Replays a recorded status stream through BuildKit's own display on a fake clock.
package oracle

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/console"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"
)

type event struct {
	At     int64               `json:"at"`
	Status *client.SolveStatus `json:"status"`
}

type output struct {
	At  int64  `json:"at"`
	Out []byte `json:"out"`
}

type recorder struct {
	tty   *os.File
	start time.Time
	outs  []output
}

func (r *recorder) Write(p []byte) (int, error) {
	r.outs = append(r.outs, output{time.Since(r.start).Milliseconds(), bytes.Clone(p)})
	return len(p), nil
}
func (r *recorder) Read(p []byte) (int, error) { return 0, nil }
func (r *recorder) Close() error               { return nil }
func (r *recorder) Fd() uintptr                { return r.tty.Fd() }
func (r *recorder) Name() string               { return "recorder" }

func TestReplay(t *testing.T) {
	mode := progressui.DisplayMode(os.Getenv("ORACLE_MODE"))
	f, err := os.Open(os.Getenv("ORACLE_IN"))
	if err != nil {
		t.Fatal(err)
	}
	var events []event
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var e event
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	rec := &recorder{}
	if mode == progressui.TtyMode {
		pty, path, err := console.NewPty()
		if err != nil {
			t.Fatal(err)
		}
		rec.tty, err = os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		var size console.WinSize
		fmt.Sscan(os.Getenv("ORACLE_SIZE"), &size.Width, &size.Height)
		pty.Resize(size)
		defer pty.Close()
	}
	synctest.Test(t, func(t *testing.T) {
		rec.start = time.Now()
		d, err := progressui.NewDisplay(rec, mode, progressui.WithDesc(os.Getenv("ORACLE_DESC"), os.Getenv("ORACLE_CONSOLE")))
		if err != nil {
			t.Fatal(err)
		}
		ch := make(chan *client.SolveStatus)
		go func() {
			for _, e := range events {
				if w := time.Duration(e.At)*time.Millisecond - time.Since(rec.start); w > 0 {
					time.Sleep(w)
				}
				ch <- e.Status
			}
			close(ch)
		}()
		d.UpdateFrom(context.Background(), ch)
	})
	out, _ := os.Create(os.Getenv("ORACLE_OUT"))
	enc := json.NewEncoder(out)
	for _, o := range rec.outs {
		enc.Encode(o)
	}
	out.Close()
}
