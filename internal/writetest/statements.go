package writetest

import (
	"context"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// write runs one random statement on a random model; some fail.
func (p *program) write(db *gorm.DB) {
	id, board, title := uint(1+p.rng.IntN(6)), uint(1+p.rng.IntN(3)), string(rune('k'+p.rng.IntN(4)))
	kind := p.rng.IntN(30)
	var name string
	var err error
	switch p.rng.IntN(5) {
	case 0, 1:
		name = "ticket"
		err = writeOne(p, db, kind, id, board, title, func(id, board uint, title string) Ticket {
			return Ticket{ID: id, BoardID: board, Title: title}
		})
	case 2, 3:
		name = "item"
		err = writeOne(p, db, kind, id, board, title, func(id, board uint, title string) Item {
			return Item{ID: id, BoardID: board, Title: title}
		})
		if kind >= 24 {
			err = writeItem(db, kind, id, board)
		}
	default:
		name = "cell"
		err = p.writeCell(db, kind, string(rune('x'+p.rng.IntN(2))), int(id), title)
	}
	p.log("write %d of %s %d, board %d, title %s: %v", kind, name, id, board, title, err)
}

// writeOne writes to a model with the columns id, board_id and title.
func writeOne[T any](p *program, db *gorm.DB, kind int, id, board uint, title string, row func(id, board uint, title string) T) error {
	ctx := context.Background()
	one, two := row(id, board, title), []T{row(id, board, title), row(id+1, board, "")}
	keyed, none := row(id, 0, ""), new(T)
	switch kind {
	case 0, 1:
		return db.Create(&one).Error
	case 2:
		return db.Create(&[]T{row(0, board, title), row(0, board, "")}).Error
	case 3:
		return db.Save(&one).Error
	case 4:
		return db.Model(&keyed).Update("title", title).Error
	case 5:
		return db.Model(&keyed).Updates(row(0, board, "")).Error
	case 6:
		return db.Model(none).Where("board_id = ?", board).Update("title", title).Error
	case 7:
		return db.Delete(&keyed).Error
	case 8:
		return db.Where("title = ?", title).Delete(none).Error
	case 9:
		return db.Delete(&[]T{row(id, 0, ""), row(id+1, 0, "")}).Error
	case 10:
		return db.Clauses(clause.OnConflict{DoNothing: true}).Create(&two).Error
	case 11:
		return db.Save(&two).Error
	case 12:
		_, err := gorm.G[T](db).Where("id = ?", id).Update(ctx, "board_id", board)
		return err
	case 13:
		return db.Model(&[]T{row(id, 0, ""), row(id+1, 0, "")}).UpdateColumn("title", gorm.Expr("CONCAT(title, ?)", title)).Error
	case 14:
		return db.Model(none).Where("title = ?", title).Update("board_id", board).Error
	case 15:
		return db.Model(none).Where("id > ?", id).Updates(map[string]any{"title": title, "board_id": board}).Error
	case 16:
		return db.Clauses(clause.OnConflict{
			Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"title", "board_id"}),
		}).Create(&two).Error
	case 17:
		return db.CreateInBatches(&[]T{row(0, board, title), row(0, board, ""), row(0, board, title)}, 2).Error
	case 18:
		return db.Model(none).Create(map[string]any{"board_id": board, "title": title}).Error
	case 19:
		other := db.Session(&gorm.Session{NewDB: true}).Table("cells").Select("place").Where("sheet = ?", "x")
		return db.Model(none).Where("id IN (?)", other).Update("title", title).Error
	case 20:
		if p.engine.SQL == "mysql" {
			return db.Model(none).Where("id > 0").Order("id DESC").Limit(1).Update("title", title).Error
		}
		return db.Model(&keyed).Update("id", id+1).Error
	case 21:
		if p.engine.SQL == "mysql" {
			return db.Where("id > 0").Order("id DESC").Limit(1).Delete(none).Error
		}
		return db.Model(&[]T{}).Clauses(clause.Returning{}).Where("board_id = ?", board).Update("title", title).Error
	case 22:
		return db.Where("title = ?", title).Attrs(map[string]any{"board_id": board}).FirstOrCreate(none).Error
	case 23:
		_, err := gorm.G[T](db).Where("board_id = ?", board).Delete(ctx)
		return err
	}
	return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&two).Error
}

// writeItem writes what only a model with soft deletes has.
func writeItem(db *gorm.DB, kind int, id, board uint) error {
	switch kind {
	case 24:
		return db.Unscoped().Model(&Item{}).Where("id <= ?", id).Update("deleted_at", nil).Error
	case 25:
		return db.Unscoped().Where("board_id = ?", board).Delete(&Item{}).Error
	case 26:
		return db.Model(&Item{ID: id}).Update("deleted_at", gorm.Expr("CURRENT_TIMESTAMP")).Error
	case 27:
		return db.Unscoped().Model(&Item{}).Where("id > 1").Update("title", "u").Error
	case 28:
		return db.Unscoped().Save(&Item{ID: id, BoardID: board, Title: "s"}).Error
	}
	return db.Unscoped().Model(&Item{}).Where("board_id = ?", board).Updates(map[string]any{"board_id": id, "deleted_at": nil}).Error
}

func (p *program) writeCell(db *gorm.DB, kind int, sheet string, place int, text string) error {
	switch kind % 8 {
	case 0:
		return db.Create(&Cell{Sheet: sheet, Place: place, Text: text}).Error
	case 1:
		return db.Model(&Cell{}).Where("sheet = ?", sheet).Update("text", text).Error
	case 2:
		return db.Where("place > ?", place).Delete(&Cell{}).Error
	case 3:
		return db.Save(&[]Cell{{Sheet: sheet, Place: place, Text: text}, {Sheet: sheet, Place: place + 1}}).Error
	case 4:
		return db.Clauses(clause.OnConflict{DoNothing: true}).Create(&[]Cell{{Sheet: "x", Place: place}, {Sheet: "y", Place: place}}).Error
	case 5:
		return db.Model(&Cell{Sheet: sheet, Place: place}).Updates(Cell{Text: text}).Error
	case 6:
		if p.engine.SQL == "mysql" {
			return db.Delete(&[]Cell{{Sheet: "x", Place: place}, {Sheet: "y", Place: place}}).Error
		}
		return db.Model(&Cell{}).Where("place = ? AND sheet = 'x'", place).Update("sheet", sheet).Error
	}
	return db.Delete(&Cell{Sheet: sheet, Place: place}).Error
}
