package sqlbroker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"gorm.io/gorm"

	"github.com/rohrpost/rohrpost/broker"
)

const (
	// maxPolled is the number of messages that one query reads.
	maxPolled = 1000

	// cleanInterval is about the time between two looks for what is to be dropped, by each
	// hub that listens.
	cleanInterval = time.Minute

	// cleanedRows is the number of messages that one statement drops, so that no lock is
	// held for long.
	cleanedRows = 1000

	// pollTimeout is the time that a look may take.
	pollTimeout = 5 * time.Second
)

var (
	errRunning  = errors.New("sqlbroker: this Broker serves a hub already: make one for each hub")
	errWentBack = errors.New("sqlbroker: the database has lost messages: all groups begin anew")
	errBehind   = errors.New("sqlbroker: messages were dropped before this hub has read them")
)

// Run implements broker.Broker.
func (b *Broker) Run(ctx context.Context, ready func(), deliver func(batch []broker.Message)) error {
	if !b.begin() {
		return errRunning
	}
	defer b.end()
	ctx, cancel := context.WithCancel(ctx)
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()
	p := &poll{broker: b, deliver: deliver, pause: b.config.PollBusy}
	if err := b.locked(ctx, 0, func(t *transaction) (err error) {
		p.last, err = t.newest()
		return err
	}); err != nil {
		return fmt.Errorf("sqlbroker: listen: %w", err)
	}
	if b.config.Listen != "" {
		listening.Go(func() { b.listen(ctx) })
	}
	ready()
	return p.run(ctx)
}

func (b *Broker) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running {
		return false
	}
	b.running = true
	return true
}

func (b *Broker) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = false
}

// newest returns the newest message that the Broker knows.
func (b *Broker) newest() mark {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known
}

// know remembers a message, unless the Broker knows a newer one.
func (b *Broker) know(m mark) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.newer(b.known) {
		b.known = m
	}
}

func (b *Broker) follows(stream string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.followed[stream]
}

// wakeRun makes Run look at the database.
func (b *Broker) wakeRun() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// poll looks for messages, again and again.
type poll struct {
	broker  *Broker
	deliver func(batch []broker.Message)
	last    mark             // the message that was read last
	batch   []broker.Message // that has come in part
	pause   time.Duration
	cleaned time.Time
}

func (p *poll) run(ctx context.Context) error {
	p.cleaned = time.Now()
	timer := time.NewTimer(p.pause)
	defer timer.Stop()
	for {
		count, err := p.read(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if count == maxPolled {
			continue
		}
		if p.pause = min(2*p.pause, p.broker.idle()); count > 0 {
			p.pause = p.broker.config.PollBusy
		}
		if err := p.clean(ctx); err != nil {
			return err
		}
		timer.Reset(p.pause)
		select {
		case <-timer.C:
		case <-p.broker.wake:
			p.pause = p.broker.config.PollBusy
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// read delivers what comes after the last message. It reads that one again, which shows
// that the database has not gone back.
func (p *poll) read(ctx context.Context) (count int, err error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	var rows []message
	db := p.broker.db.WithContext(ctx).Table(p.broker.tables.messages)
	if err := db.Where("seq >= ?", p.last.seq).Order("seq").Limit(maxPolled).Find(&rows).Error; err != nil {
		return 0, fmt.Errorf("sqlbroker: look for messages: %w", err)
	}
	if p.last.seq > 0 && (len(rows) == 0 || !p.last.is(&rows[0])) {
		return 0, p.explain(ctx)
	}
	for i := range rows {
		if m := &rows[i]; m.Seq > p.last.seq {
			p.take(m)
			p.last = m.mark()
		}
	}
	p.broker.know(p.last)
	return len(rows), nil
}

// explain returns why the last message is not there. If the database has gone back, all
// streams have begun anew by then: an error in the transaction would undo that.
func (p *poll) explain(ctx context.Context) error {
	p.broker.know(p.last)
	var now string
	err := p.broker.locked(ctx, 0, func(t *transaction) error {
		now = t.now.Era
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("sqlbroker: look for lost messages: %w", err)
	case now == p.last.era:
		return errBehind
	}
	return errWentBack
}

func (p *poll) take(m *message) {
	if p.broker.follows(string(m.Stream)) {
		p.batch = append(p.batch, m.message())
	}
	if m.Last && len(p.batch) > 0 {
		p.deliver(p.batch)
		p.batch = nil
	}
}

// clean drops what is older than it must be kept, now and then.
func (p *poll) clean(ctx context.Context) error {
	if time.Since(p.cleaned) < cleanInterval/2+rand.N(cleanInterval) {
		return nil
	}
	p.cleaned = time.Now()
	if err := p.broker.clean(ctx); err != nil {
		return fmt.Errorf("sqlbroker: drop old messages: %w", err)
	}
	return nil
}

// clean drops old messages, streams and sources. It never drops the newest message, nor
// the newest of those that are old: a hub may have read nothing after it.
func (b *Broker) clean(ctx context.Context) error {
	db := b.db.WithContext(ctx)
	now := time.Now()
	var until int64
	if b.config.MaxAge >= 0 {
		err := db.Table(b.tables.messages).Select("COALESCE(MAX(seq), 0)").Where("created < ?", now.Add(-b.config.MaxAge).UnixMilli()).Scan(&until).Error
		if err != nil {
			return err
		}
	}
	if b.config.MaxMessages >= 0 {
		var newest []int64
		err := db.Table(b.tables.messages).Order("seq DESC").Offset(b.config.MaxMessages).Limit(1).Pluck("seq", &newest).Error
		if err != nil {
			return err
		}
		if len(newest) > 0 {
			until = max(until, newest[0])
		}
	}
	if err := b.dropMessages(ctx, until); err != nil {
		return err
	}
	if b.config.KeepUnused >= 0 {
		if err := b.dropUntouched(ctx, b.tables.streams, now.Add(-b.config.KeepUnused-cleanInterval)); err != nil {
			return err
		}
	}
	return b.dropUntouched(ctx, b.tables.sources, now.Add(-remember))
}

// dropUntouched drops the rows of a table that were last touched before a time.
func (b *Broker) dropUntouched(ctx context.Context, table string, before time.Time) error {
	var names []string
	err := b.db.WithContext(ctx).Table(table).Where("touched < ?", before.UnixMilli()).Pluck("name", &names).Error
	if err != nil {
		return err
	}
	for some := range slices.Chunk(names, 500) {
		err := b.locked(ctx, 0, func(t *transaction) error {
			return t.db.Exec("DELETE FROM "+table+" WHERE name IN ? AND touched < ?", bytesOf(some), before.UnixMilli()).Error
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dropMessages drops the messages before a number, some at a time.
func (b *Broker) dropMessages(ctx context.Context, until int64) error {
	for {
		var numbers []int64
		db := b.db.WithContext(ctx).Table(b.tables.messages)
		err := db.Where("seq < ?", until).Order("seq").Limit(cleanedRows).Pluck("seq", &numbers).Error
		if err != nil || len(numbers) == 0 {
			return err
		}
		last := numbers[len(numbers)-1]
		err = inTransaction(b.db.WithContext(ctx), func(tx *gorm.DB) error {
			return tx.Table(b.tables.messages).Where("seq <= ?", last).Delete(&message{}).Error
		})
		if err != nil {
			return err
		}
	}
}
