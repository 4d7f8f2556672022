package main

import (
	"fmt"

	"gorm.io/gorm"
)

// addSampleCards adds the sample cards if the board is empty.
func addSampleCards(db *gorm.DB) error {
	err := db.Transaction(func(tx *gorm.DB) error {
		var cards int64
		if err := tx.Model(&Card{}).Count(&cards).Error; err != nil || cards > 0 {
			return err
		}
		for _, card := range sampleCards() {
			if err := addCard(tx, &card); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add the sample cards: %w", err)
	}
	return nil
}

// sampleCards returns the cards of a new board, column by column.
func sampleCards() []Card {
	return []Card{
		{Title: "Oil the capsules", Column: "todo"},
		{Title: "Paint the tubes red", Column: "todo"},
		{Title: "Order felt for the seals", Column: "todo"},
		{Title: "Answer the letter from Prague", Column: "todo"},
		{Title: "Measure the pressure", Column: "doing"},
		{Title: "Write the timetable", Column: "doing"},
		{Title: "Dig up the line to the station", Column: "doing"},
		{Title: "Lay the pipe to the post office", Column: "done"},
		{Title: "Invite everybody", Column: "done"},
	}
}
